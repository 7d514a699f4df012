#pragma once

#include <cstdint>
#include <string>

namespace retinue::runtime {

/// What it took until a job was under way, in the order in which it happened. Of several ranks or
/// replicas: the longest time, and all bytes. Travels between ranks as it is.
struct StartUp {
  double launch_s = 0;                  ///< from mpirun's or srun's start to that of the program's
  double communicators_s = 0;           ///< MPI, the mesh, NCCL
  double weights_s = 0;                 ///< opened, read, exchanged, packed
  std::int64_t weights_read_bytes = 0;  ///< of tensors, from files, by all ranks
  std::int64_t weights_exchanged_bytes = 0;  ///< that ranks got from others
  double first_caption_s = -1;  ///< from launch until the first record was durable; -1: none was

  /// Bytes from files over time; 0 where none were read.
  [[nodiscard]] double weights_bytes_per_s() const {
    return weights_s > 0 ? static_cast<double>(weights_read_bytes) / weights_s : 0;
  }
  StartUp& operator+=(const StartUp& other);
  /// "launch 0.31 s, communicators 0.12 s, weights 1.24 s (2.1 GB read at 1.7 GB/s, 4.2 GB
  /// exchanged), first caption after 2.5 s"
  [[nodiscard]] std::string to_string() const;
};

}  // namespace retinue::runtime
