#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// What one decoding may take of its machine.
struct DecodeLimits {
  std::int64_t memory_bytes = std::int64_t{4} << 30;  ///< of addresses, the program's own included
  std::int64_t seconds = 60;  ///< per image or video, of the clock and of the processor
};

/// The verb under which an executable becomes a helper: it hands the words behind it, which
/// worker_arguments() made, to run_isolated_worker().
inline constexpr std::string_view kIsolatedWorkerVerb = "decode-helper";

std::vector<std::string> worker_arguments(const DecodeLimits& limits);

/// Decodes what is asked on standard input, a socket to the rank that started this process, until
/// that ends; see decode_protocol.h. Takes its limits first: memory, time per item, few open files,
/// no core dumps, nothing to gain from set-user-id programs, death with its rank. Returns the exit
/// code.
/// Throws: UsageError when standard input is no socket or the words are not worker_arguments().
int run_isolated_worker(const std::vector<std::string>& arguments);

}  // namespace retinue::runtime
