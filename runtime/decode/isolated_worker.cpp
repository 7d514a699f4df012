#include "runtime/decode/isolated_worker.h"

#include "parallel/base/check.h"
#include "runtime/decode/isolated_protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <new>
#include <optional>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace retinue::runtime {
namespace {

constexpr int kSocket = STDIN_FILENO;
constexpr rlim_t kOpenFiles = 16;
constexpr std::size_t kMaxMessageBytes = 8 << 10;

void set_limit(__rlimit_resource what, rlim_t value) {
  const rlimit limit{.rlim_cur = value, .rlim_max = value};
  if (setrlimit(what, &limit) != 0)
    throw SystemError(fmt::format("[isolated worker] a limit on resource {} is refused: {}",
                                  static_cast<int>(what), std::strerror(errno)));
}

void take_limits([[maybe_unused]] const DecodeLimits& limits, pid_t rank) {
  prctl(PR_SET_NAME, "retinue-decode");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The rank may have ended before prctl took effect.
  if (getppid() != rank) _exit(0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  // Address sanitizer reserves terabytes of addresses.
#ifndef __SANITIZE_ADDRESS__
  set_limit(RLIMIT_AS, static_cast<rlim_t>(limits.memory_bytes));
#endif
  set_limit(RLIMIT_CORE, 0);
  set_limit(RLIMIT_NOFILE, kOpenFiles);
}

/// Limits processor time from now on. It ends a decoder that computes without end; the rank's
/// deadline ends one that waits.
void limit_processor(std::int64_t seconds) {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  rlimit limit{};
  getrlimit(RLIMIT_CPU, &limit);
  limit.rlim_cur =
      std::min(limit.rlim_max,
               static_cast<rlim_t>(used.ru_utime.tv_sec + used.ru_stime.tv_sec + 2 + seconds));
  setrlimit(RLIMIT_CPU, &limit);
}

/// False at the end of the stream.
bool receive(void* to, std::size_t bytes) {
  for (auto* at = static_cast<char*>(to); bytes > 0;) {
    const ssize_t got = recv(kSocket, at, bytes, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got, bytes -= static_cast<std::size_t>(got);
  }
  return true;
}

bool send_all(const void* from, std::size_t bytes) {
  for (const auto* at = static_cast<const char*>(from); bytes > 0;) {
    const ssize_t sent = send(kSocket, at, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    at += sent, bytes -= static_cast<std::size_t>(sent);
  }
  return true;
}

bool answer(AnswerHead head, const void* body, std::size_t bytes) {
  head.body_bytes = bytes;
  return send_all(&head, sizeof(head)) && send_all(body, bytes);
}

bool answer(const DataError& error) {
  const std::string body = error.stage + '\0' + error.message.substr(0, kMaxMessageBytes);
  return answer({.kind = AnswerKind::kError}, body.data(), body.size());
}

bool answer(const Result<MediaHeader>& header) {
  if (!header.ok()) return answer(header.error());
  const std::vector<double>& times = header->grid.timestamps_s;
  return answer({.kind = AnswerKind::kHeader,
                 .grid_thw = header->grid.grid_thw,
                 .size = header->size,
                 .frames = header->frames},
                times.data(), times.size() * sizeof(double));
}

bool answer(const Result<layers::Patches>& patches) {
  if (!patches.ok()) return answer(patches.error());
  return answer({.kind = AnswerKind::kPatches, .grid_thw = patches->grid_thw},
                patches->pixels.data(), patches->pixels.size());
}

/// False when the rank has closed the socket.
bool serve(const RequestHead& head) {
  check(head.mark == kRequestMark, "a rank sends well-formed requests");
  std::string packed(head.head_bytes, '\0');
  if (!receive(packed.data(), packed.size())) return false;
  const auto request = unpack_request(packed);
  check(request.has_value(), "a rank sends well-formed requests");
  std::vector<FileBytes> files;
  for (const std::uint64_t bytes : request->file_bytes) {
    files.emplace_back(bytes);
    if (!receive(files.back().data(), bytes)) return false;
  }
  if (head.want == Want::kHeader)
    return answer(read_header(request->media, files, request->spec, request->image));
  return answer(read_patches(request->media, files, request->spec, request->image));
}

template <class T>
T parse_positive(const std::string& word) {
  T value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size() || value <= 0)
    throw UsageError(fmt::format("[isolated worker] wants positive numbers, got '{}'", word));
  return value;
}

}  // namespace

std::vector<std::string> worker_arguments(const DecodeLimits& limits) {
  return {std::to_string(limits.memory_bytes), std::to_string(limits.seconds),
          std::to_string(getpid())};
}

int run_isolated_worker(const std::vector<std::string>& arguments) {
  int type = 0;
  socklen_t type_bytes = sizeof(type);
  if (arguments.size() != 3 || getsockopt(kSocket, SOL_SOCKET, SO_TYPE, &type, &type_bytes) != 0)
    throw UsageError(
        "[decode-helper] is no verb to call: ranks start it under --isolate-decode, which decodes "
        "images and videos in processes of their own.");
  const DecodeLimits limits{.memory_bytes = parse_positive<std::int64_t>(arguments[0]),
                            .seconds = parse_positive<std::int64_t>(arguments[1])};
  take_limits(limits, parse_positive<pid_t>(arguments[2]));
  RequestHead head;
  while (receive(&head, sizeof(head))) {
    limit_processor(limits.seconds);
    try {
      if (!serve(head)) break;
    } catch (const std::bad_alloc&) {
      // The rest of the request is still in the socket, so the rank starts a new worker.
      answer({.kind = AnswerKind::kNoMemory}, nullptr, 0);
      return 0;
    }
  }
  return 0;
}

}  // namespace retinue::runtime
