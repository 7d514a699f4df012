#include "parallel/comm/mpi/watch.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace retinue {
namespace {

using Steady = std::chrono::steady_clock;

constexpr int kTag = 0;
constexpr double kBeatEvery_s = 1;
// Below the eager limit of every transport: a message leaves even if no rank receives it.
constexpr std::size_t kMaxText = 2000;

enum class Kind : std::int32_t {
  kAlive,   // to the next rank, every second
  kFailed,  // to all
  kDone,    // to rank 0: this rank has finished
  kLeave    // from rank 0: all ranks have finished
};

struct Header {
  Kind kind = Kind::kAlive;
  std::int32_t rank = 0;
  std::int32_t exit_code = 0;
  std::int32_t host_bytes = 0;  ///< length of the host in the text; the message follows
  double time_s = 0;
};

double seconds_since(Steady::time_point start) {
  return std::chrono::duration<double>(Steady::now() - start).count();
}

double wall_clock_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

bool is_earlier(const RankFailure& a, const RankFailure& b) {
  return std::pair(a.time_s, a.rank) < std::pair(b.time_s, b.rank);
}

}  // namespace

class Watch::Thread {
 public:
  Thread(std::unique_ptr<Communicator> comm, std::string host, const Options& options,
         Callbacks callbacks)
      : comm_(std::move(comm)),
        host_(std::move(host)),
        options_(options),
        callbacks_(std::move(callbacks)),
        thread_([this](const std::stop_token& stop) { run(stop); }) {}

  ~Thread() {
    thread_.request_stop();
    wake_.notify_all();
  }

  void fail(int exit_code, std::string message) {
    const std::lock_guard lock(mutex_);
    if (own_failure_) return;
    message.resize(std::min(message.size(), kMaxText - std::min(host_.size(), kMaxText / 2)));
    own_failure_ = RankFailure{comm_->rank(), exit_code, wall_clock_s(), host_, std::move(message)};
    wake_.notify_all();
  }

  int finish(int exit_code) {
    std::unique_lock lock(mutex_);
    own_code_ = exit_code;
    wake_.notify_all();
    wake_.wait(lock, [&] { return leave_code_.has_value(); });
    return *leave_code_;
  }

 private:
  void run(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested() && !leave_code_) {
      try {
        look();
      } catch (const std::exception& error) {
        // The watch's own transport is broken: only this rank learns of it.
        if (!first_noted_) note({comm_->rank(), kExitResume, wall_clock_s(), host_, error.what()});
        transport_broken_ = true;
      }
      report_when_due(lock);
      if (!leave_code_)
        wake_.wait_for(lock, std::chrono::duration<double>(options_.poll_s),
                       [&] { return stop.stop_requested() || has_message(); });
    }
  }

  /// This rank has something to send.
  bool has_message() const {
    return (own_failure_ && !failure_reported_) || (own_code_ && !finish_reported_);
  }

  void look() {
    if (transport_broken_) return;
    if (own_failure_ && !failure_reported_) {
      failure_reported_ = true;
      report_failure(*own_failure_);
    }
    if (own_code_ && !finish_reported_) {
      finish_reported_ = true;
      if (comm_->rank() == 0)
        count_done(*own_code_);
      else
        send(0, {.kind = Kind::kDone, .exit_code = *own_code_});
    }
    beat();
    std::int64_t bytes = 0;
    for (int from = -1; comm_->probe(from, kTag, bytes); from = -1) take(from, bytes);
    // Only after hold_s without a failure still to report, here and on the other ranks.
    if (done_ == comm_->size() && !leave_code_ && (!first_noted_ || reported_)) {
      for (int peer = 1; peer < comm_->size(); ++peer)
        send(peer, {.kind = Kind::kLeave, .exit_code = worst_});
      leave_code_ = worst_;
      wake_.notify_all();
    }
  }

  void beat() {
    if (comm_->size() == 1 || options_.silence_s <= 0) return;
    // A process that was stopped and continues must not blame its neighbour.
    if (seconds_since(last_look_) > options_.silence_s / 4) last_received_ = Steady::now();
    last_look_ = Steady::now();
    if (seconds_since(last_beat_) >= kBeatEvery_s) {
      last_beat_ = Steady::now();
      send((comm_->rank() + 1) % comm_->size(), {.kind = Kind::kAlive});
    }
    if (seconds_since(last_received_) < options_.silence_s || first_noted_) return;
    const int peer = (comm_->rank() + comm_->size() - 1) % comm_->size();
    report_failure({peer, kExitResume, wall_clock_s(), "host unknown",
                    fmt::format("[watch] silent for {} s: the process hangs or its host is "
                                "lost. Reported by rank {} ({}).",
                                options_.silence_s, comm_->rank(), host_)});
  }

  void report_failure(const RankFailure& failure) {
    note(failure);
    for (int step = 1; step < comm_->size(); ++step)
      send((comm_->rank() + step) % comm_->size(),
           {.kind = Kind::kFailed,
            .rank = failure.rank,
            .exit_code = failure.exit_code,
            .host_bytes = static_cast<std::int32_t>(failure.host.size()),
            .time_s = failure.time_s},
           failure.host + failure.message);
  }

  void send(int peer, const Header& header, const std::string& text = {}) {
    std::vector<std::uint8_t> bytes(sizeof(Header) + text.size());
    std::memcpy(bytes.data(), &header, sizeof(Header));
    std::ranges::copy(text, bytes.begin() + sizeof(Header));
    comm_->send(Stream{Device{}},
                ConstTensorView(reinterpret_cast<const std::byte*>(bytes.data()), DType::kU8,
                                {static_cast<std::int64_t>(bytes.size())}),
                peer, kTag);
  }

  void take(int from, std::int64_t size_bytes) {
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(size_bytes));
    comm_->recv(Stream{Device{}},
                TensorView(reinterpret_cast<std::byte*>(bytes.data()), DType::kU8, {size_bytes}),
                from, kTag);
    check(bytes.size() >= sizeof(Header), "a message of the watch is too short");
    Header header;
    std::memcpy(&header, bytes.data(), sizeof(Header));
    const std::string text(bytes.begin() + sizeof(Header), bytes.end());
    const auto host_bytes = static_cast<std::size_t>(header.host_bytes);
    if (header.kind == Kind::kAlive) last_received_ = Steady::now();
    if (header.kind == Kind::kFailed)
      note({header.rank, header.exit_code, header.time_s, text.substr(0, host_bytes),
            text.substr(host_bytes)});
    if (header.kind == Kind::kDone) count_done(header.exit_code);
    if (header.kind == Kind::kLeave) {
      leave_code_ = worse_exit_code(worst_, header.exit_code);
      wake_.notify_all();
    }
  }

  void count_done(int exit_code) {
    ++done_;
    worst_ = worse_exit_code(worst_, exit_code);
  }

  void note(RankFailure failure) {
    worst_ = worse_exit_code(worst_, failure.exit_code);
    if (!first_noted_) first_noted_ = Steady::now();
    if (!first_ || is_earlier(failure, *first_)) first_ = std::move(failure);
  }

  /// Reports once earlier failures had time to arrive; releases this rank once the others had time
  /// to report as well.
  void report_when_due(std::unique_lock<std::mutex>& lock) {
    if (!first_noted_) return;
    const double age_s = seconds_since(*first_noted_);
    if (!reported_ && (age_s >= options_.hold_s || leave_code_)) {
      reported_ = true;
      const RankFailure first = *first_;
      lock.unlock();
      callbacks_.on_failure(first);
      lock.lock();
    }
    if (leave_code_ || age_s < options_.hold_s + options_.leave_s) return;
    if (own_code_) {
      leave_code_ = worse_exit_code(worst_, *own_code_);
      wake_.notify_all();
    } else if (!overdue_) {
      overdue_ = true;
      callbacks_.on_overdue(worst_);
    }
  }

  const std::unique_ptr<Communicator> comm_;
  const std::string host_;
  const Options options_;
  const Callbacks callbacks_;

  std::mutex mutex_;  ///< guards everything below
  std::condition_variable wake_;
  std::optional<RankFailure> own_failure_, first_;
  std::optional<int> own_code_, leave_code_;
  std::optional<Steady::time_point> first_noted_;
  bool failure_reported_ = false, finish_reported_ = false, reported_ = false, overdue_ = false;
  bool transport_broken_ = false;
  int worst_ = kExitDone;
  int done_ = 0;  ///< ranks that have finished; counted on rank 0
  Steady::time_point last_beat_ = Steady::now(), last_received_ = last_beat_,
                     last_look_ = last_beat_;
  std::jthread thread_;  ///< last: it uses all members above
};

Watch::Watch(std::unique_ptr<Communicator> comm, std::string host, const Options& options,
             Callbacks callbacks)
    : thread_(std::make_unique<Thread>(std::move(comm), std::move(host), options,
                                       std::move(callbacks))) {}
Watch::~Watch() = default;
void Watch::fail(int exit_code, std::string message) {
  thread_->fail(exit_code, std::move(message));
}
int Watch::finish(int exit_code) { return thread_->finish(exit_code); }

int run_ranks(World& world, const std::function<int()>& body,
              std::function<void(const RankFailure& first)> report) {
  if (!report)
    report = [](const RankFailure& first) {
      const std::string line =
          fmt::format("rank {} ({}) failed: {}\n", first.rank, first.host, first.message);
      std::fwrite(line.data(), 1, line.size(), stderr);
      std::fflush(stderr);
    };
  Watch::Options options;
  if (world.size() == 1) options.hold_s = 0;
  Watch watch(world.duplicate("watch", {.survives_abort = true}), world.host(), options,
              {.on_failure =
                   [&](const RankFailure& first) {
                     report(first);
                     world.comm().abort(fmt::format("rank {} ({}) failed: {}", first.rank,
                                                    first.host, first.message));
                   },
               .on_overdue = [](int exit_code) { std::_Exit(exit_code); }});
  int exit_code = kExitDone;
  try {
    exit_code = body();
  } catch (const std::exception&) {
    ExitReason reason = exit_reason(std::current_exception());
    exit_code = reason.code;
    watch.fail(exit_code, std::move(reason.message));
  }
  return watch.finish(exit_code);
}

}  // namespace retinue
