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

/// Memory for an answer is touched as it comes in, not as it is announced.
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

enum class Transfer { kDone, kEnded, kLate };

void require(int error, const char* what) {
  if (error != 0)
    throw SystemError(
        fmt::format("[decode-helper] cannot be started, {}: {}", what, std::strerror(error)));
}

/// What posix_spawn is told; freed whatever happens.
struct SpawnFacts {
  SpawnFacts() {
    require(posix_spawn_file_actions_init(&files), "file actions");
    require(posix_spawnattr_init(&attributes), "attributes");
  }
  ~SpawnFacts() {
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
  }
  SpawnFacts(const SpawnFacts&) = delete;
  SpawnFacts& operator=(const SpawnFacts&) = delete;

  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

}  // namespace

class IsolatedDecoder::Helper {
 public:
  Helper(const std::string& program, const DecodeLimits& limits) {
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
  ~Helper() { end(); }
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;

  /// Lives and says nothing, as it should between two questions.
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

  /// How it ended, once it has closed its end: "died of SIGSEGV".
  std::string exit_reason(std::int64_t seconds) {
    // It may have closed its end and live on.
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
    SpawnFacts facts;
    // Standard input is the socket, standard output nothing, standard error ours; no other file.
    require(posix_spawn_file_actions_adddup2(&facts.files, its_end, STDIN_FILENO), "input");
    require(posix_spawn_file_actions_addopen(&facts.files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0),
            "output");
    require(posix_spawn_file_actions_addclosefrom_np(&facts.files, STDERR_FILENO + 1), "files");
    // Requests to stop go to the whole group and are the rank's to hear.
    sigset_t held;
    sigemptyset(&held);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&held, signal);
    require(posix_spawnattr_setsigmask(&facts.attributes, &held), "signals");
    sigset_t fresh;
    sigfillset(&fresh);
    require(posix_spawnattr_setsigdefault(&facts.attributes, &fresh), "signals");
    require(
        posix_spawnattr_setflags(&facts.attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF),
        "signals");
    std::vector<std::string> arguments = worker_arguments(limits);
    arguments.insert(arguments.begin(), {"retinue", std::string(kIsolatedWorkerVerb)});
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    return posix_spawn(&pid_, program.c_str(), &facts.files, &facts.attributes, argv.data(),
                       environ);
  }

  void end() {
    close(socket_);
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  /// False when the deadline has passed.
  [[nodiscard]] bool wait_for(short event, Time deadline) const {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd about{.fd = socket_, .events = event, .revents = 0};
    poll(&about, 1, static_cast<int>(std::min<std::int64_t>(left.count() + 1, 1 << 30)));
    return true;
  }

  int socket_ = -1;
  pid_t pid_ = 0;  ///< 0 when it has been waited for
};

IsolatedDecoder::IsolatedDecoder(const VisionProcessorSpec& spec, const ImageOptions& image,
                                 const DecodeLimits& limits, std::string program)
    : spec_(spec), image_(image), limits_(limits), program_(std::move(program)) {}

IsolatedDecoder::~IsolatedDecoder() = default;

std::unique_ptr<IsolatedDecoder::Helper> IsolatedDecoder::take_helper() {
  std::unique_ptr<Helper> helper;
  {
    const std::lock_guard lock(mutex_);
    helper = std::move(helpers_[std::this_thread::get_id()]);
  }
  // One that died between two questions is nobody's failure.
  if (helper == nullptr || !helper->is_idle()) helper = std::make_unique<Helper>(program_, limits_);
  return helper;
}

template <class T>
Result<T> IsolatedDecoder::ask(const MediaReference& media, const std::vector<FileBytes>& files) {
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
  DecodeRequest request{.media = media, .file_bytes = {}, .spec = spec_, .image = image_};
  for (const FileBytes& bytes : files) request.file_bytes.push_back(bytes.size());
  const std::string packed = pack_request(request);
  const RequestHead request_head{.want = asked.want, .head_bytes = packed.size()};

  // Whatever leaves this function early ends the helper: its next words would be about this item.
  std::unique_ptr<Helper> helper = take_helper();
  const Time deadline = std::chrono::steady_clock::now() + std::chrono::seconds(limits_.seconds);
  const auto ended = [&](Transfer how) {
    return failed(how == Transfer::kLate ? fmt::format("took more than {} s", limits_.seconds)
                                         : helper->exit_reason(limits_.seconds));
  };
  Transfer conversation = helper->send(std::as_bytes(std::span(&request_head, 1)), deadline);
  if (conversation == Transfer::kDone)
    conversation = helper->send(std::as_bytes(std::span(packed)), deadline);
  for (std::size_t i = 0; i < files.size() && conversation == Transfer::kDone; ++i)
    conversation = helper->send(files[i], deadline);
  if (conversation == Transfer::kLate) return ended(conversation);
  // One that took no more may have said why.
  AnswerHead head;
  conversation = helper->receive(std::as_writable_bytes(std::span(&head, 1)), deadline);
  if (conversation != Transfer::kDone) return ended(conversation);
  const auto invalid = [&](std::string_view error) {
    return failed(fmt::format("gave an answer that cannot be: {}", error));
  };
  if (const std::string_view error = validation_error(head, asked); !error.empty())
    return invalid(error);
  if (head.kind == AnswerKind::kNoMemory)
    return failed(fmt::format("wanted more than {:.3g} GiB of memory",
                              static_cast<double>(limits_.memory_bytes) / (1 << 30)));
  std::vector<std::uint8_t> body;
  body.reserve(head.body_bytes);  // addresses; pages come with the bytes
  while (body.size() < head.body_bytes) {
    const std::size_t at = body.size();
    body.resize(at + std::min<std::size_t>(kPieceBytes, head.body_bytes - at));
    conversation = helper->receive(std::as_writable_bytes(std::span(body).subspan(at)), deadline);
    if (conversation != Transfer::kDone) return ended(conversation);
  }
  const auto keep_helper = [&] {
    const std::lock_guard lock(mutex_);
    helpers_[std::this_thread::get_id()] = std::move(helper);
  };
  if (head.kind == AnswerKind::kError) {
    auto error = read_error_answer(std::as_bytes(std::span(body)));
    if (!error) return invalid("no message");
    keep_helper();
    return *error;
  }
  if constexpr (kPixels) {
    keep_helper();
    return layers::Patches{.pixels = std::move(body), .grid_thw = head.grid_thw};
  } else {
    auto header = read_header_answer(head, asked, std::as_bytes(std::span(body)));
    if (!header) return invalid("times that are none");
    keep_helper();
    return *std::move(header);
  }
}

Result<MediaHeader> IsolatedDecoder::header(const MediaReference& media,
                                            const std::vector<FileBytes>& files) {
  return ask<MediaHeader>(media, files);
}

Result<layers::Patches> IsolatedDecoder::patches(const MediaReference& media,
                                                 const std::vector<FileBytes>& files) {
  return ask<layers::Patches>(media, files);
}

}  // namespace retinue::runtime
