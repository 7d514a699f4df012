#include "tests/support/cuda_emulator/src/block_executor.h"

#include "cuda_emulator/device_warp.h"
#include "tests/support/cuda_emulator/src/device.h"
#include "tests/support/cuda_emulator/src/fault_handler.h"
#include "tests/support/cuda_emulator/src/symbol_name.h"

#include <algorithm>
#include <bit>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <sys/mman.h>

__thread uint3 threadIdx;
__thread uint3 blockIdx;
__thread dim3 blockDim;
__thread dim3 gridDim;

namespace cuda_emulator {
namespace {

constexpr std::size_t kGuardBytes = 4096;
constexpr std::size_t kSharedMappingBytes = 256 << 10;
constexpr int kNaNByte = 0xFF;

__thread BlockExecutor* running = nullptr;

std::string triple(uint3 v) {
  return "(" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + ")";
}

/// One for all launches, which run one after the other then: their blocks number its intervals.
std::mutex races_mutex;
RaceDetector& race_detector() {
  static auto* detector = new RaceDetector;
  return *detector;
}

std::mutex pool_mutex;
std::vector<std::unique_ptr<BlockExecutor>>& pool() {
  static auto* executors = new std::vector<std::unique_ptr<BlockExecutor>>;
  return *executors;
}

}  // namespace

BlockExecutor& running_block(const char* operation) {
  if (running == nullptr) fail("%s outside of a kernel", operation);
  return *running;
}

void require_hopper(const char* operation) {
  if (capability().major != 9)
    fail("%s on a GPU of compute capability %d.%d; Hopper alone has it", operation,
         capability().major, capability().minor);
}

void run_launch(const Launch& launch) {
  std::unique_ptr<BlockExecutor> mine;
  {
    std::lock_guard lock(pool_mutex);
    if (!pool().empty()) {
      mine = std::move(pool().back());
      pool().pop_back();
    }
  }
  if (!mine) mine = std::make_unique<BlockExecutor>();
  use_fault_stack();
  {
    std::unique_lock alone(races_mutex, std::defer_lock);
    if (kFindsRaces) alone.lock();
    mine->run(launch);
  }
  std::lock_guard lock(pool_mutex);
  pool().push_back(std::move(mine));
}

BlockExecutor::BlockExecutor() {
  void* mapping = mmap(nullptr, kSharedMappingBytes + 2 * kGuardBytes, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) fail("no memory for shared memory");
  shared_mapping_ = static_cast<char*>(mapping) + kGuardBytes;
  if (mprotect(shared_mapping_, kSharedMappingBytes, PROT_READ | PROT_WRITE) != 0) {
    fail("no memory for shared memory");
  }
}

BlockExecutor::~BlockExecutor() {
  munmap(shared_mapping_ - kGuardBytes, kSharedMappingBytes + 2 * kGuardBytes);
}

void BlockExecutor::run(const Launch& launch) {
  launch_ = &launch;
  schedule_ = schedule();
  thread_count_ = launch.block.x * launch.block.y * launch.block.z;
  if (threads_.size() < thread_count_) threads_.resize(thread_count_);
  stack_of_.resize(threads_.size());
  for (std::uint32_t i = 0; i < thread_count_; ++i) {
    threads_[i].index = {i % launch.block.x, i / launch.block.x % launch.block.y,
                         i / launch.block.x / launch.block.y};
  }
  // Shared memory ends at the guard page, so that a step past its end faults.
  shared_ = shared_mapping_ + kSharedMappingBytes - (launch.dynamic_shared_bytes + 127) / 128 * 128;
  blockDim = launch.block;
  gridDim = launch.grid;
  if (kFindsRaces) {
    races_ = &race_detector();
    races_->begin_launch(launch.block, {shared_, launch.dynamic_shared_bytes});
  }
  BlockExecutor* const outer = running;
  running = this;

  const std::uint64_t blocks = std::uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  if (schedule_.order == Order::kRandom) {
    std::vector<std::uint64_t> order(blocks);
    std::iota(order.begin(), order.end(), std::uint64_t{0});
    std::shuffle(order.begin(), order.end(), std::mt19937_64(schedule_.seed));
    for (const std::uint64_t block : order) run_block(block);
  } else {
    const bool descending = schedule_.order == Order::kDescending;
    for (std::uint64_t i = 0; i < blocks; ++i) run_block(descending ? blocks - 1 - i : i);
  }
  running = outer;
  launch_ = nullptr;
}

void BlockExecutor::run_block(std::uint64_t block) {
  const dim3& grid = launch_->grid;
  blockIdx = {static_cast<unsigned>(block % grid.x), static_cast<unsigned>(block / grid.x % grid.y),
              static_cast<unsigned>(block / grid.x / grid.y)};
  random_state_ = (schedule_.seed ^ block) * 0x9E3779B97F4A7C15ull | 1;
  for (std::uint32_t i = 0; i < thread_count_; ++i) threads_[i].state = Thread::State::kUnstarted;
  const std::uint32_t warp_count = (thread_count_ + 31) / 32;
  for (std::uint32_t w = 0; w < warp_count; ++w) {
    const std::uint32_t lanes = std::min(32u, thread_count_ - w * 32);
    warps_[w].existing = warps_[w].runnable = lanes == 32 ? ~0u : (1u << lanes) - 1;
    warps_[w].waiting = 0;
  }
  runnable_warps_ = warp_count == 32 ? ~0u : (1u << warp_count) - 1;
  finished_ = at_barrier_ = 0;
  barrier_count_ = 0;
  barriers_passed_ = 0;
  mbarriers_.begin_block();
  async_proxy_.begin_block({shared_, launch_->dynamic_shared_bytes});
  wgmmas_.begin_block(thread_count_);
  std::memset(shared_, kNaNByte, launch_->dynamic_shared_bytes);
  if (races_ != nullptr) races_->begin_block(blockIdx);
  switch_to(&main_fiber_, choose_next());
  wgmmas_.end_block();
  async_proxy_.end_block();
  mbarriers_.end_block();
}

/// The xorshift generator: cheap, and good enough to vary orders.
std::uint64_t BlockExecutor::random() {
  random_state_ ^= random_state_ << 13;
  random_state_ ^= random_state_ >> 7;
  random_state_ ^= random_state_ << 17;
  return random_state_;
}

std::uint32_t BlockExecutor::choose_bit(std::uint32_t mask) {
  switch (schedule_.order) {
    case Order::kAscending:
      return static_cast<std::uint32_t>(std::countr_zero(mask));
    case Order::kDescending:
      return 31 - static_cast<std::uint32_t>(std::countl_zero(mask));
    case Order::kRandom:
      break;
  }
  for (auto skip = random() % static_cast<std::uint64_t>(std::popcount(mask)); skip > 0; --skip) {
    mask &= mask - 1;
  }
  return static_cast<std::uint32_t>(std::countr_zero(mask));
}

/// Copies land as late as they can: when no thread can continue without one. In a random order some
/// land before.
void BlockExecutor::land_copies() {
  const bool random_order = schedule_.order == Order::kRandom;
  while (async_proxy_.in_flight() > 0 &&
         (runnable_warps_ == 0 || (random_order && random() % 8 == 0))) {
    const std::size_t last = async_proxy_.in_flight() - 1;
    const std::size_t index = random_order                            ? random() % (last + 1)
                              : schedule_.order == Order::kDescending ? last
                                                                      : 0;
    const BoxCopy landed = async_proxy_.land(index);
    if (races_ != nullptr) races_->land_box(landed.mbarrier, landed.to, landed.bytes());
    if (mbarriers_.complete_bytes(landed.mbarrier, landed.map.box_bytes()))
      wake_waiters(landed.mbarrier);
  }
}

/// The phase of an mbarrier is complete.
void BlockExecutor::wake_waiters(std::uint64_t* mbarrier) {
  if (races_ != nullptr) races_->complete_phase(mbarrier);
  for (std::uint32_t i = 0; i < thread_count_; ++i) {
    if (threads_[i].state != Thread::State::kAtMbarrier || threads_[i].mbarrier != mbarrier)
      continue;
    threads_[i].state = Thread::State::kReady;
    warps_[i / 32].runnable |= 1u << (i % 32);
    runnable_warps_ |= 1u << (i / 32);
  }
}

void BlockExecutor::arrive_at_mbarrier(std::uint64_t* at, std::uint32_t expected_bytes) {
  if (races_ != nullptr) races_->arrive(current_, at);
  if (mbarriers_.arrive(at, expected_bytes, mbarrier_user())) wake_waiters(at);
}

void BlockExecutor::wait_at_mbarrier(std::uint64_t* at, std::uint32_t parity) {
  if (!mbarriers_.wait(at, parity, mbarrier_user())) {
    current().state = Thread::State::kAtMbarrier;
    current().mbarrier = at;
    switch_to_next();
  }
  if (races_ != nullptr) races_->wait(current_, at);
}

void BlockExecutor::start_copy(const BoxCopy& copy, const void* position) {
  async_proxy_.start(copy);
  if (races_ == nullptr) return;
  if (thread_count_ > RaceDetector::kMostThreadsBesideCopies)
    fail("copy_box_2d in a block of %u threads; the race detector has %u beside such copies",
         thread_count_, RaceDetector::kMostThreadsBesideCopies);
  races_->access(current_, copy.to, copy.bytes(), Access::kCopy, position);
}

/// Takes one of the runnable threads, by the schedule.
std::uint32_t BlockExecutor::choose_next() {
  if (async_proxy_.in_flight() > 0 && finished_ < thread_count_) land_copies();
  if (runnable_warps_ == 0) return kNoThread;
  const std::uint32_t w = choose_bit(runnable_warps_);
  Warp& warp = warps_[w];
  const std::uint32_t lane = choose_bit(warp.runnable);
  warp.runnable &= ~(1u << lane);
  if (warp.runnable == 0) runnable_warps_ &= ~(1u << w);
  return w * 32 + lane;
}

void BlockExecutor::make_current(std::uint32_t thread) {
  current_ = thread;
  threads_[thread].state = Thread::State::kReady;
  threadIdx = threads_[thread].index;
}

void BlockExecutor::switch_to(FiberPointer* from, std::uint32_t thread) {
  Thread& next = threads_[thread];
  if (next.state == Thread::State::kUnstarted) {
    stack_of_[thread] = stacks_.take();
    next.fiber = make_fiber(stack_of_[thread], &BlockExecutor::fiber_entry);
  }
  make_current(thread);
  cuda_emulator_switch_fiber(from, next.fiber);
}

/// The running thread waits; it continues here when it is chosen again.
void BlockExecutor::switch_to_next() {
  const std::uint32_t next = choose_next();
  if (next == kNoThread) report_stuck();
  if (next == current_) {
    make_current(next);
    return;
  }
  switch_to(&current().fiber, next);
}

// AddressSanitizer would keep the shadow of frames that are abandoned without a return.
__attribute__((no_sanitize("address"))) void BlockExecutor::fiber_entry() {
  running->run_threads();
}

__attribute__((no_sanitize("address"))) void BlockExecutor::run_threads() {
  while (true) {
    launch_->body();
    Thread& ended = current();
    ended.state = Thread::State::kFinished;
    ended.copies.clear();
    ended.copy_groups.clear();
    ++finished_;
    char* const stack = stack_of_[current_];
    const std::uint32_t next = choose_next();
    if (next != kNoThread && threads_[next].state == Thread::State::kUnstarted) {
      stack_of_[next] = stack;
      make_current(next);
      continue;
    }
    if (next == kNoThread && finished_ != thread_count_) report_stuck();
    stacks_.give_back(stack);
    if (next == kNoThread) {
      current_ = kNoThread;
      cuda_emulator_switch_fiber(&ended.fiber, main_fiber_);
    } else {
      switch_to(&ended.fiber, next);
    }
  }
}

void BlockExecutor::warp_rendezvous(const WarpOperation& operation, std::uint32_t mask,
                                    void* operands) {
  Warp& warp = warps_[current_ / 32];
  Thread* const lanes = &threads_[current_ / 32 * 32];
  const std::uint32_t bit = 1u << lane();
  if ((mask & bit) == 0)
    fail("%s with mask 0x%08x, which leaves out its caller", operation.name, mask);
  if (operation.needs_every_lane && (mask & ~warp.existing) != 0) {
    fail("%s with mask 0x%08x; the warp has the lanes 0x%08x only", operation.name, mask,
         warp.existing);
  }
  mask &= warp.existing;
  Thread& self = current();
  self.state = Thread::State::kAtWarp;
  self.operation = &operation;
  self.mask = mask;
  warp.operands[lane()] = operands;
  warp.waiting |= bit;
  bool complete = (warp.waiting & mask) == mask;
  for (std::uint32_t rest = mask; complete && rest != 0; rest &= rest - 1) {
    const Thread& other = lanes[std::countr_zero(rest)];
    complete = other.operation == &operation && other.mask == mask;
  }
  if (complete) {
    if (mask == ~0u) {
      operation.complete(mask, warp.operands);
    } else {
      void* chosen[32] = {};
      for (std::uint32_t i = 0; i < 32; ++i) {
        if ((mask >> i & 1) != 0) chosen[i] = warp.operands[i];
      }
      operation.complete(mask, chosen);
    }
    // Of all warp operations only this one orders memory.
    if (races_ != nullptr && &operation == &kSyncWarp) races_->sync_warp(current_ / 32, mask);
    warp.waiting &= ~mask;
    warp.runnable |= mask;
    runnable_warps_ |= 1u << (current_ / 32);
  }
  switch_to_next();
}

int BlockExecutor::block_barrier(BlockReduction reduction, int predicate) {
  Thread& self = current();
  self.state = Thread::State::kAtBarrier;
  self.reduction = reduction;
  barrier_count_ += predicate != 0 ? 1 : 0;
  if (++at_barrier_ == thread_count_) {
    const int count = static_cast<int>(thread_count_);
    for (std::uint32_t i = 0; i < thread_count_; ++i) {
      if (threads_[i].reduction != reduction) {
        fail("threads of the block wait at different kinds of __syncthreads()");
      }
    }
    barrier_result_ = reduction == BlockReduction::kCount ? barrier_count_
                      : reduction == BlockReduction::kAnd
                          ? static_cast<int>(barrier_count_ == count)
                          : static_cast<int>(barrier_count_ > 0);
    barrier_count_ = 0;
    at_barrier_ = 0;
    ++barriers_passed_;
    if (races_ != nullptr) races_->barrier();
    for (std::uint32_t w = 0; w * 32 < thread_count_; ++w) {
      warps_[w].runnable = warps_[w].existing;
      runnable_warps_ |= 1u << w;
    }
  }
  switch_to_next();
  return barrier_result_;
}

void BlockExecutor::yield() {
  // To the next runnable thread in a circle, whatever the schedule: each must get its turn.
  for (std::uint32_t step = 1; step < thread_count_; ++step) {
    const std::uint32_t next = (current_ + step) % thread_count_;
    Warp& warp = warps_[next / 32];
    if ((warp.runnable >> (next % 32) & 1) == 0) continue;
    warps_[current_ / 32].runnable |= 1u << lane();
    runnable_warps_ |= 1u << (current_ / 32);
    warp.runnable &= ~(1u << (next % 32));
    if (warp.runnable == 0) runnable_warps_ &= ~(1u << (next / 32));
    switch_to(&current().fiber, next);
    return;
  }
}

void* BlockExecutor::dynamic_shared() {
  if (launch_->dynamic_shared_bytes == 0) fail("dynamic shared memory was not asked for at launch");
  return shared_;
}

std::uint32_t BlockExecutor::shared_address(const void* at) const {
  const auto offset = static_cast<const char*>(at) - shared_mapping_;
  if (offset < 0 || offset >= static_cast<std::ptrdiff_t>(kSharedMappingBytes))
    fail("the emulator has shared_matrix in dynamic shared memory alone");
  return static_cast<std::uint32_t>(offset);
}

void BlockExecutor::note_access_of_warp(const void* address, std::size_t bytes) {
  if (races_ != nullptr)
    races_->access(current_ / 32 * 32, address, bytes, Access::kRead, __builtin_return_address(0));
}

void BlockExecutor::note_access(const void* address, std::size_t bytes, Access kind,
                                const void* position) {
  if (races_ != nullptr) races_->access(current_, address, bytes, kind, position);
}

void BlockExecutor::note_landing(const void* address, std::size_t bytes, const void* position) {
  if (races_ != nullptr) races_->land(current_, address, bytes, position);
}

std::string BlockExecutor::place_of(std::uint32_t thread) const {
  const Thread& t = threads_[thread];
  const std::string name = "thread " + triple(t.index);
  char text[128];
  switch (t.state) {
    case Thread::State::kFinished:
      return name + " has ended";
    case Thread::State::kAtBarrier:
      return name + " waits at __syncthreads()";
    case Thread::State::kAtMbarrier:
      return name + " waits at mbarrier_wait: " + mbarriers_.describe(t.mbarrier);
    case Thread::State::kAtWarp:
      std::snprintf(text, sizeof text, " (lane %u) waits at %s, mask 0x%08x", thread % 32,
                    t.operation->name, t.mask);
      return name + text;
    default:
      return name + " runs";
  }
}

/// No thread can continue: some wait for threads that will never arrive.
void BlockExecutor::report_stuck() const {
  std::string text = "threads of a block wait for each other for ever. kernel " +
                     symbol_name(launch_->kernel) + ", block " + triple(blockIdx) + ":";
  std::string last;
  int lines = 0;
  for (std::uint32_t i = 0; i < thread_count_; ++i) {
    const Thread& t = threads_[i];
    // One line for each run of a warp's threads that wait at the same place.
    const std::string kind =
        std::to_string(i / 32) + "," + std::to_string(static_cast<int>(t.state)) +
        (t.state == Thread::State::kAtWarp ? t.operation->name + std::to_string(t.mask)
                                           : std::string()) +
        (t.state == Thread::State::kAtMbarrier ? mbarriers_.describe(t.mbarrier) : std::string());
    if (kind == last) continue;
    last = kind;
    if (++lines > 16) {
      text += "\n  …";
      break;
    }
    text += "\n  from " + place_of(i);
    if (t.state == Thread::State::kAtWarp) {
      std::string missing;
      for (std::uint32_t lane = 0; lane < 32; ++lane) {
        const std::uint32_t other = i / 32 * 32 + lane;
        if ((t.mask >> lane & 1) != 0 &&
            (threads_[other].state != Thread::State::kAtWarp ||
             threads_[other].operation != t.operation || threads_[other].mask != t.mask)) {
          missing += " " + std::to_string(lane);
        }
      }
      text += "; missing lanes:" + missing;
    }
  }
  std::fprintf(stderr, "[cuda emulator] %s\n", text.c_str());
  std::abort();
}

std::string BlockExecutor::where() const {
  if (launch_ == nullptr) return "";
  std::string text = "kernel " + symbol_name(launch_->kernel) + ", block " + triple(blockIdx);
  if (current_ != kNoThread) text += ", thread " + triple(threads_[current_].index);
  return text;
}

std::string BlockExecutor::describe(const void* address) const {
  const auto* at = static_cast<const char*>(address);
  if (at >= shared_mapping_ - kGuardBytes &&
      at < shared_mapping_ + kSharedMappingBytes + kGuardBytes) {
    return "past the end of dynamic shared memory";
  }
  return stacks_.guards(address) ? "an emulated thread's stack overflows" : "";
}

void warp_rendezvous(const WarpOperation& operation, std::uint32_t mask, void* operands) {
  running_block(operation.name).warp_rendezvous(operation, mask, operands);
}
int block_barrier(BlockReduction reduction, int predicate) {
  return running_block("__syncthreads()").block_barrier(reduction, predicate);
}
void yield_thread() { running_block("__nanosleep()").yield(); }
void* dynamic_shared_memory() { return running_block("dynamic_shared()").dynamic_shared(); }
std::uint32_t lane_index() { return running_block("a lane's index").lane(); }

void note_access(const void* address, std::size_t bytes, Access kind, const void* position) {
  if (running != nullptr) running->note_access(address, bytes, kind, position);
}

void start_copy(void* to, const void* from, bool valid) {
  require_aligned(to, 16, "shared address of copy_async_16");
  if (valid) require_aligned(from, 16, "global address of copy_async_16");
  const void* const position = __builtin_return_address(0);
  if (valid) note_access(from, 16, Access::kRead, position);
  note_access(to, 16, Access::kCopy, position);
  std::memset(to, kNaNByte, 16);
  running_block("copy_async_16").current().copies.push_back({to, valid ? from : nullptr});
}

void close_copy_group() {
  Thread& thread = running_block("copy_async_commit").current();
  std::size_t closed = 0;
  for (const std::size_t copies : thread.copy_groups) closed += copies;
  thread.copy_groups.push_back(thread.copies.size() - closed);
}

void land_copies(int pending_groups) {
  BlockExecutor& block = running_block("copy_async_wait");
  Thread& thread = block.current();
  const auto pending = static_cast<std::size_t>(pending_groups);
  if (thread.copy_groups.size() <= pending) return;
  const auto landing = thread.copy_groups.end() - pending_groups;
  const std::size_t copies = std::accumulate(thread.copy_groups.begin(), landing, std::size_t{0});
  for (std::size_t i = 0; i < copies; ++i) {
    const PendingCopy& copy = thread.copies[i];
    block.note_landing(copy.to, 16, __builtin_return_address(0));
    if (copy.from == nullptr) {
      std::memset(copy.to, 0, 16);
    } else {
      block.note_access(copy.from, 16, Access::kRead, __builtin_return_address(0));
      std::memcpy(copy.to, copy.from, 16);
    }
  }
  thread.copies.erase(thread.copies.begin(),
                      thread.copies.begin() + static_cast<std::ptrdiff_t>(copies));
  thread.copy_groups.erase(thread.copy_groups.begin(), landing);
}

void require_aligned(const void* pointer, std::size_t bytes, const char* what) {
  if (reinterpret_cast<std::uintptr_t>(pointer) % bytes != 0) {
    fail("%s: %p is not a multiple of %zu", what, pointer, bytes);
  }
}

std::string describe_running_fault(const void* address) {
  if (running == nullptr) return "";
  const std::string what = running->describe(address);
  return (what.empty() ? "" : what + ": ") + running->where();
}

void fail(const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  const std::string where = running != nullptr ? running->where() : "";
  std::fprintf(stderr, "[cuda emulator] %s%s%s\n", text, where.empty() ? "" : ". ", where.c_str());
  std::abort();
}

}  // namespace cuda_emulator
