#include "runtime/failure/crash_report.h"

#include "runtime/formats/atomic_file.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <csignal>
#include <cstddef>
#include <fcntl.h>
#include <memory>
#include <mutex>
#include <unistd.h>

namespace retinue::runtime {
namespace {

struct Deadly {
  int number;
  const char* name;
};
constexpr std::array<Deadly, 5> kDeadly = {{{SIGSEGV, "SIGSEGV"},
                                            {SIGABRT, "SIGABRT"},
                                            {SIGBUS, "SIGBUS"},
                                            {SIGFPE, "SIGFPE"},
                                            {SIGILL, "SIGILL"}}};
constexpr std::size_t kStackBytes = std::size_t{1} << 16;

// A signal handler has no other way to learn what its thread was doing.
thread_local std::int64_t item_of_thread = -1;

/// A stack for the handler: the thread's own may be the one that overflowed.
class HandlerStack {
 public:
  HandlerStack() : bytes_(std::make_unique<std::byte[]>(kStackBytes)) {
    stack_t stack{};
    stack.ss_sp = bytes_.get();
    stack.ss_size = kStackBytes;
    sigaltstack(&stack, &before_);
  }
  ~HandlerStack() { sigaltstack(&before_, nullptr); }
  HandlerStack(const HandlerStack&) = delete;
  HandlerStack& operator=(const HandlerStack&) = delete;

 private:
  std::unique_ptr<std::byte[]> bytes_;
  stack_t before_{};
};

std::atomic<CrashReporter*> active = nullptr;
static_assert(std::atomic<CrashReporter*>::is_always_lock_free);
std::array<struct sigaction, kDeadly.size()> before;

void on_crash(int signal) {
  for (std::size_t i = 0; i < kDeadly.size(); ++i) {
    if (kDeadly[i].number != signal) continue;
    if (CrashReporter* reporter = active.load()) reporter->leave(kDeadly[i].name);
    // Raised again, the signal arrives as soon as this returns, at the handler that was there
    // before.
    sigaction(signal, &before[i], nullptr);
    raise(signal);
  }
}

}  // namespace

CrashReporter::CrashReporter(std::string path, int leader)
    : path_(std::move(path)), tail_(fmt::format(" {}\n", leader)) {
  CrashReporter* none = nullptr;
  if (!active.compare_exchange_strong(none, this)) return;
  struct sigaction action {};
  action.sa_handler = on_crash;
  action.sa_flags = SA_ONSTACK;
  for (std::size_t i = 0; i < kDeadly.size(); ++i)
    sigaction(kDeadly[i].number, &action, &before[i]);
}

CrashReporter::~CrashReporter() {
  CrashReporter* self = this;
  if (!active.compare_exchange_strong(self, nullptr)) return;
  for (std::size_t i = 0; i < kDeadly.size(); ++i)
    sigaction(kDeadly[i].number, &before[i], nullptr);
}

void CrashReporter::leave(std::string_view reason) noexcept {
  if (left_.exchange(true)) return;
  const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return;  // the next run has one hint fewer
  std::array<char, 96> line;
  char* end = line.data();
  for (const char c : reason.substr(0, 32)) *end++ = c;
  *end++ = ' ';
  end = std::to_chars(end, line.data() + 64, item_of_thread).ptr;
  for (const char c : tail_) *end++ = c;
  // In one piece: half a line would be no report.
  write_all(fd, {line.data(), static_cast<std::size_t>(end - line.data())});
  fsync(fd);
  ::close(fd);
}

WorkOn::WorkOn(std::int64_t item) {
  static thread_local const HandlerStack stack;
  item_of_thread = item;
}

WorkOn::~WorkOn() { item_of_thread = -1; }

}  // namespace retinue::runtime
