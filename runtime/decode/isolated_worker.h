#pragma once

// Tested through tests/runtime/decode/isolated_decoder_test.cpp.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::runtime {

/// Limits of one isolated worker.
struct DecodeLimits {
  /// Address space, with the program's own.
  std::int64_t memory_bytes = std::int64_t{4} << 30;
  /// Per image or video: of wall-clock time, and of processor time.
  std::int64_t seconds = 60;
};

/// The verb that makes an executable an isolated worker: its main() passes the arguments behind the
/// verb, which worker_arguments() made, to run_isolated_worker().
inline constexpr std::string_view kIsolatedWorkerVerb = "decode-helper";

std::vector<std::string> worker_arguments(const DecodeLimits& limits);

/// Serves the requests of isolated_protocol.h until standard input, a socket to the rank that
/// started this process, is closed. First it limits itself: memory, time per image or video, few
/// open files, no core dumps, no privileges from set-user-id programs; the kernel kills it when its
/// rank ends. Returns the exit code.
/// Throws: UsageError when standard input is no socket or `arguments` did not come from
///   worker_arguments().
int run_isolated_worker(const std::vector<std::string>& arguments);

}  // namespace retinue::runtime
