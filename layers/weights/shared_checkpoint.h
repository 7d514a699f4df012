#pragma once

#include "layers/weights/weight_source.h"
#include "parallel/comm/communicator.h"

#include <cstdint>
#include <string>

namespace retinue::layers {

/// A checkpoint that ranks read together: each row that any of them wants is read by one of them,
/// in stripes in the order of the files, and its parts are sent to those that want them. What a
/// rank gets is bit for bit what it would have read. While stripes are exchanged the next are read.
/// Before, every rank reads 256 bytes of each tensor: so they know that they see one checkpoint.
/// Memory per rank: a few stripes of at most 4 MiB, whatever the checkpoint and the ranks.
class SharedCheckpointSource final : public CheckpointSource {
 public:
  /// `readers`, in host memory, outlives it: the ranks that load at the same time, replicas
  /// included; each with a checkpoint of the same contents under `model_dir`.
  SharedCheckpointSource(const std::string& model_dir, Communicator& readers)
      : CheckpointSource(model_dir), readers_(readers) {}

  /// Collective over the readers; true.
  /// Throws: UsageError on all where they see different files, or contents that their samples tell
  /// apart, naming the first tensor; SystemError naming file and tensor on the rank that cannot
  /// read, and on the others as Communicator says when a peer is lost.
  bool deliver(Context& ctx, MemoryLedger& ledger, DType dtype, std::span<const WeightNeed> needs,
               const PlaceRows& place) override;

 private:
  Communicator& readers_;
};

}  // namespace retinue::layers
