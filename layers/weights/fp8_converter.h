#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace retinue::layers {

/// What a conversion did.
struct Fp8Conversion {
  std::int64_t modules = 0;           ///< linear layers that are e4m3 now
  std::vector<std::string> kept;      ///< projections of the decoder that stay as they are
  std::int64_t read_bytes = 0;        ///< of tensors
  std::int64_t written_bytes = 0;     ///< of tensors
  std::vector<std::string> left_out;  ///< files and folders of the source that were not copied
};

/// Writes a copy of the checkpoint folder `from` to `to` with the decoder's projections as e4m3 in
/// blocks of 128 x 128, as transformers' FineGrainedFP8Config reads it: a block's scale is
/// its largest absolute value / 448, or 1 where all are zero; weights are rounded to nearest after
/// the division. Projections whose blocks would not be whole, or not for all of q, k and v, or of
/// gate and up, stay as they are. Every other tensor and the small files are copied, but for the
/// model card (README.md), which describes the source; config.json gets its quantization_config.
/// Shards keep their names.
///   from      its tensors are those of its config.json: nothing here looks for others
///   to        must not exist, or be an empty folder; it appears when it is complete. Until then
///             `to`.part is there; what a killed conversion left in it is removed
///   progress  called with the bytes read so far, and all, after each projection and each 4 MiB of
///             the others; what it throws ends the conversion, of which nothing is left
/// Throws: UsageError for a checkpoint that cannot be read, that is quantised already, or of which
///         nothing can be converted, and where another conversion writes to `to`, or `to` cannot be
///         made (fail_to_make); SystemError with both sizes where the tensors do not fit on the disk,
///         and naming the file that cannot be written.
Fp8Conversion convert_to_fp8(const std::string& from, const std::string& to, int threads,
                             const std::function<void(std::int64_t, std::int64_t)>& progress);

}  // namespace retinue::layers
