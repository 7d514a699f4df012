#pragma once

// Tested through tests/system/start_up_test.cpp.

#include <cstdint>
#include <string>

namespace retinue::runtime {

/// The time that a job took to start, by stage, in the order of the stages. A sum over ranks or
/// replicas keeps the longest time of each stage and adds bytes. Sent between ranks as bytes.
struct StartUp {
  double launch_s = 0;                       ///< from mpirun's or srun's start to this program's
  double communicators_s = 0;                ///< MPI, the mesh, NCCL
  double weights_s = 0;                      ///< opened, read, exchanged, packed
  std::int64_t weights_read_bytes = 0;       ///< of tensors, from files, by all ranks
  std::int64_t weights_exchanged_bytes = 0;  ///< that ranks received from other ranks
  double first_caption_s = -1;  ///< from launch to the first durable record; -1: none yet

  /// Bytes read from files per second of `weights_s`; 0 where none were read.
  [[nodiscard]] double weights_bytes_per_s() const {
    return weights_s > 0 ? static_cast<double>(weights_read_bytes) / weights_s : 0;
  }
  StartUp& operator+=(const StartUp& other);
  /// "launch 0.31 s, communicators 0.12 s, weights 1.24 s (2.1 GB read at 1.7 GB/s, 4.2 GB
  /// exchanged), first caption after 2.5 s"
  [[nodiscard]] std::string to_string() const;
};

}  // namespace retinue::runtime
