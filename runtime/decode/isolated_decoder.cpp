#include "runtime/decode/isolated_decoder.h"

#include "parallel/base/check.h"
#include "runtime/decode/isolated_protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <span>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <type_traits>
#include <unistd.h>
#include <utility>

extern char** environ;

namespace retinue::runtime {
namespace {

using Time = std::chrono::steady_clock::time_point;

enum class Transfer { kDone, kEnded, kLate };

void require(int error, const char* what) {
  if (error != 0)
    throw SystemError(
        fmt::format("[isolated worker] cannot be started, {}: {}", what, std::strerror(error)));
}

/// The arguments of posix_spawn, freed on every path.
struct SpawnOptions {
  SpawnOptions() {
    require(posix_spawn_file_actions_init(&files), "file actions");
    require(posix_spawnattr_init(&attributes), "attributes");
  }
  ~SpawnOptions() {
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
  }
  SpawnOptions(const SpawnOptions&) = delete;
  SpawnOptions& operator=(const SpawnOptions&) = delete;

  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

}  // namespace

class IsolatedDecoder::Worker {
 public:
  Worker(const std::string& program, const DecodeLimits& limits) {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
      require(errno, "socketpair");
    socket_ = ends[0];
    const int error = start(program, limits, ends[1]);
    close(ends[1]);
    if (error == 0 && fcntl(socket_, F_SETFL, O_NONBLOCK) == 0) return;
    end();
    require(error != 0 ? error : errno, program.c_str());
  }
  ~Worker() { end(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  /// Runs and has sent nothing, as it should between two requests.
  [[nodiscard]] bool is_idle() const {
    char byte = 0;
    return recv(socket_, &byte, 1, MSG_PEEK) < 0 && (errno == EAGAIN || errno == EINTR);
  }

  Transfer send(std::span<const std::byte> bytes, Time deadline) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent >= 0) {
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
      } else if (errno != EAGAIN && errno != EINTR) {
        return Transfer::kEnded;
      } else if (!wait_for(POLLOUT, deadline)) {
        return Transfer::kLate;
      }
    }
    return Transfer::kDone;
  }

  Transfer receive(std::span<std::byte> bytes, Time deadline) const {
    while (!bytes.empty()) {
      const ssize_t got = recv(socket_, bytes.data(), bytes.size(), 0);
      if (got > 0) {
        bytes = bytes.subspan(static_cast<std::size_t>(got));
      } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        return Transfer::kEnded;
      } else if (!wait_for(POLLIN, deadline)) {
        return Transfer::kLate;
      }
    }
    return Transfer::kDone;
  }

  Transfer send_request(const RequestHead& head, std::string_view packed,
                        const std::vector<FileBytes>& files, Time deadline) const {
    Transfer transfer = send(std::as_bytes(std::span(&head, 1)), deadline);
    if (transfer == Transfer::kDone) transfer = send(std::as_bytes(std::span(packed)), deadline);
    for (std::size_t i = 0; i < files.size() && transfer == Transfer::kDone; ++i)
      transfer = send(files[i], deadline);
    return transfer;
  }

  /// The body of an answer, in pieces: memory is touched as bytes arrive, not as the head
  /// announces.
  Transfer receive_body(std::uint64_t bytes, std::vector<std::uint8_t>& body, Time deadline) const {
    constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
    body.reserve(bytes);  // takes addresses only
    Transfer transfer = Transfer::kDone;
    while (body.size() < bytes && transfer == Transfer::kDone) {
      const std::size_t at = body.size();
      body.resize(at + std::min<std::size_t>(kPieceBytes, bytes - at));
      transfer = receive(std::as_writable_bytes(std::span(body).subspan(at)), deadline);
    }
    return transfer;
  }

  /// How it ended, after it closed its end of the socket: "died of SIGSEGV".
  std::string exit_reason(std::int64_t seconds) {
    // It may have closed its end and still run: wait for a second at most.
    constexpr int kLooks = 1000;
    int status = 0;
    pid_t ended = 0;
    for (int look = 0; look < kLooks && ended == 0; ++look) {
      ended = waitpid(pid_, &status, WNOHANG);
      if (ended == 0) usleep(1000);
    }
    if (ended != pid_) return "closed its connection";
    pid_ = 0;
    if (WIFEXITED(status)) return fmt::format("ended with exit code {}", WEXITSTATUS(status));
    const int signal = WTERMSIG(status);
    if (signal == SIGXCPU) return fmt::format("took more than {} s of the processor", seconds);
    const char* name = sigabbrev_np(signal);
    return name != nullptr ? fmt::format("died of SIG{}", name)
                           : fmt::format("died of signal {}", signal);
  }

 private:
  int start(const std::string& program, const DecodeLimits& limits, int its_end) {
    SpawnOptions options;
    // Standard input is the socket, standard output nothing, standard error ours; no other file.
    require(posix_spawn_file_actions_adddup2(&options.files, its_end, STDIN_FILENO), "input");
    require(
        posix_spawn_file_actions_addopen(&options.files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0),
        "output");
    require(posix_spawn_file_actions_addclosefrom_np(&options.files, STDERR_FILENO + 1), "files");
    // Signals that request a stop go to the whole process group; only the rank handles them.
    sigset_t held;
    sigemptyset(&held);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&held, signal);
    require(posix_spawnattr_setsigmask(&options.attributes, &held), "signals");
    sigset_t fresh;
    sigfillset(&fresh);
    require(posix_spawnattr_setsigdefault(&options.attributes, &fresh), "signals");
    require(posix_spawnattr_setflags(&options.attributes,
                                     POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF),
            "signals");
    std::vector<std::string> arguments = worker_arguments(limits);
    arguments.insert(arguments.begin(), {"retinue", std::string(kIsolatedWorkerVerb)});
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    return posix_spawn(&pid_, program.c_str(), &options.files, &options.attributes, argv.data(),
                       environ);
  }

  void end() {
    close(socket_);
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  /// Waits until the socket is ready; false once the deadline has passed.
  [[nodiscard]] bool wait_for(short event, Time deadline) const {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd about{.fd = socket_, .events = event, .revents = 0};
    poll(&about, 1, static_cast<int>(std::min<std::int64_t>(left.count() + 1, 1 << 30)));
    return true;
  }

  int socket_ = -1;
  pid_t pid_ = 0;  ///< 0 after waitpid
};

IsolatedDecoder::IsolatedDecoder(const VisionProcessorSpec& spec, const ImageOptions& image,
                                 const DecodeLimits& limits, std::string program)
    : spec_(spec), image_(image), limits_(limits), program_(std::move(program)) {}

IsolatedDecoder::~IsolatedDecoder() = default;

std::unique_ptr<IsolatedDecoder::Worker> IsolatedDecoder::take_worker() {
  std::unique_ptr<Worker> worker;
  {
    const std::lock_guard lock(mutex_);
    worker = std::move(workers_[std::this_thread::get_id()]);
  }
  // A worker that ended between two requests fails no item.
  if (worker == nullptr || !worker->is_idle()) worker = std::make_unique<Worker>(program_, limits_);
  return worker;
}

std::string IsolatedDecoder::packed_request(const MediaReference& media,
                                            const std::vector<FileBytes>& files) const {
  DecodeRequest request{.media = media, .file_bytes = {}, .spec = spec_, .image = image_};
  for (const FileBytes& bytes : files) request.file_bytes.push_back(bytes.size());
  return pack_request(request);
}

template <class T>
Result<T> IsolatedDecoder::exchange(const MediaReference& media,
                                    const std::vector<FileBytes>& files) {
  constexpr bool kPixels = std::is_same_v<T, layers::Patches>;
  const Asked asked{.want = kPixels ? Want::kPatches : Want::kHeader,
                    .kind = media.kind,
                    .patch_size = spec_.patch_size,
                    .temporal_patch_size = spec_.temporal_patch_size,
                    .merge_size = spec_.merge_size,
                    .memory_bytes = limits_.memory_bytes};
  const auto failed = [&](std::string_view why) {
    return DataError{media.kind == MediaKind::kVideo ? "video" : "image",
                     fmt::format("{}: its decoder {}", media.files[0].name(), why)};
  };
  const std::string packed = packed_request(media, files);
  const RequestHead request_head{.want = asked.want, .head_bytes = packed.size()};

  // Every early return ends the worker: its socket may still hold bytes of this exchange.
  std::unique_ptr<Worker> worker = take_worker();
  const Time deadline = std::chrono::steady_clock::now() + std::chrono::seconds(limits_.seconds);
  const auto ended = [&](Transfer how) {
    return failed(how == Transfer::kLate ? fmt::format("took more than {} s", limits_.seconds)
                                         : worker->exit_reason(limits_.seconds));
  };
  // A worker that stopped reading may have answered why: only lateness ends the exchange here.
  Transfer transfer = worker->send_request(request_head, packed, files, deadline);
  if (transfer == Transfer::kLate) return ended(transfer);
  AnswerHead head;
  transfer = worker->receive(std::as_writable_bytes(std::span(&head, 1)), deadline);
  if (transfer != Transfer::kDone) return ended(transfer);
  const auto invalid = [&](std::string_view error) {
    return failed(fmt::format("gave an answer that cannot be: {}", error));
  };
  if (const std::string_view error = validation_error(head, asked); !error.empty())
    return invalid(error);
  if (head.kind == AnswerKind::kNoMemory)
    return failed(fmt::format("wanted more than {:.3g} GiB of memory",
                              static_cast<double>(limits_.memory_bytes) / (1 << 30)));
  std::vector<std::uint8_t> body;
  transfer = worker->receive_body(head.body_bytes, body, deadline);
  if (transfer != Transfer::kDone) return ended(transfer);
  const auto keep_worker = [&] {
    const std::lock_guard lock(mutex_);
    workers_[std::this_thread::get_id()] = std::move(worker);
  };
  if (head.kind == AnswerKind::kError) {
    auto error = read_error_answer(std::as_bytes(std::span(body)));
    if (!error) return invalid("no message");
    keep_worker();
    return *error;
  }
  if constexpr (kPixels) {
    keep_worker();
    return layers::Patches{.pixels = std::move(body), .grid_thw = head.grid_thw};
  } else {
    auto header = read_header_answer(head, asked, std::as_bytes(std::span(body)));
    if (!header) return invalid("times that are none");
    keep_worker();
    return *std::move(header);
  }
}

Result<MediaHeader> IsolatedDecoder::header(const MediaReference& media,
                                            const std::vector<FileBytes>& files) {
  return exchange<MediaHeader>(media, files);
}

Result<layers::Patches> IsolatedDecoder::patches(const MediaReference& media,
                                                 const std::vector<FileBytes>& files) {
  return exchange<layers::Patches>(media, files);
}

}  // namespace retinue::runtime
