#include "tests/support/cuda_emulator/src/race_detector.h"

#include "cuda_emulator/simt.h"
#include "tests/support/cuda_emulator/src/device_memory.h"
#include "tests/support/cuda_emulator/src/symbol_name.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

namespace cuda_emulator {
namespace {

/// Cells of so many bytes of device memory are kept from launch to launch.
constexpr std::size_t kMostTouchedBytes = 16 << 20;

/// The threads' places lie in the same memory as static shared memory.
bool is_place(const char* at) {
  const auto within = [&](const auto& place) {
    return static_cast<std::size_t>(at - reinterpret_cast<const char*>(&place)) < sizeof place;
  };
  return within(threadIdx) || within(blockIdx) || within(blockDim) || within(gridDim);
}

/// The program's thread_local variables of the calling thread.
std::span<const char> thread_local_variables() {
  std::span<const char> found;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          if (info->dlpi_phdr[i].p_type != PT_TLS) continue;
          *static_cast<std::span<const char>*>(out) = {
              static_cast<const char*>(info->dlpi_tls_data), info->dlpi_phdr[i].p_memsz};
        }
        return 1;  // the first object is the program
      },
      &found);
  return found;
}

std::uint32_t low_half(const void* position) {
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(position));
}

/// For addr2line: the source lines of two calls, by the low halves of their return addresses.
std::string lines_of(std::uint32_t a, std::uint32_t b) {
  char program[512] = {}, text[640];
  if (readlink("/proc/self/exe", program, sizeof program - 1) < 0) return "no program";
  const auto base = static_cast<std::uint32_t>(load_address());
  std::snprintf(text, sizeof text, "addr2line -Cifpe %s 0x%x 0x%x", program, a - base - 1,
                b - base - 1);
  return text;
}

/// Of each clock the later one.
void take_later(std::vector<std::uint32_t>& into, const std::vector<std::uint32_t>& from) {
  for (std::size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

std::string triple(unsigned x, unsigned y, unsigned z) {
  return "(" + std::to_string(x) + ", " + std::to_string(y) + ", " + std::to_string(z) + ")";
}

}  // namespace

RaceDetector::RaceDetector() {
  const std::span<const char> device = device_addresses();
  device_ = {device.data(), device.size(), nullptr};
  if (device.empty()) return;
  // Pages of cells that are never touched take no memory.
  void* cells = mmap(nullptr, device.size() * sizeof(Cell), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (cells == MAP_FAILED) {
    fail("no addresses for the race detector; lower RETINUE_EMULATOR_MEMORY_GIB or _DEVICES");
  }
  device_.cells = static_cast<Cell*>(cells);
}

void RaceDetector::begin_launch(dim3 block, std::span<const char> dynamic_shared) {
  block_shape_ = block;
  launch_first_ = interval_ + 1;
  blocks_.clear();
  threads_ = block.x * block.y * block.z;
  warps_.resize((std::size_t{threads_} + 31) / 32);
  if (dynamic_cells_.size() < dynamic_shared.size()) dynamic_cells_.resize(dynamic_shared.size());
  dynamic_shared_ = {dynamic_shared.data(), dynamic_shared.size(), dynamic_cells_.data()};
  // __shared__ variables are thread_local ones of the program.
  const std::span<const char> variables = thread_local_variables();
  if (static_cells_.size() < variables.size()) static_cells_.resize(variables.size());
  static_shared_ = {variables.data(), variables.size(), static_cells_.data()};
  if (touched_bytes_ > kMostTouchedBytes) {
    madvise(device_.cells, device_.bytes * sizeof(Cell), MADV_DONTNEED);
    touched_bytes_ = 0;
  }
}

void RaceDetector::begin_block(uint3 block) {
  block_first_ = ++interval_;
  blocks_.push_back({interval_, block});
  known_.clear();
  mbarriers_.clear();
  copies_clock_ = 0;
  for (Lanes& lanes : warps_) {
    lanes = {};
    for (std::size_t i = 0; i < 32; ++i) lanes[i][i] = 1;
  }
}

void RaceDetector::sync_warp(std::uint32_t warp, std::uint32_t mask) {
  Lanes& lanes = warps_[warp];
  std::array<std::uint32_t, 32> joined = {};
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const auto& known = lanes[static_cast<std::size_t>(std::countr_zero(rest))];
    for (std::size_t i = 0; i < 32; ++i) joined[i] = std::max(joined[i], known[i]);
  }
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<std::size_t>(std::countr_zero(rest));
    lanes[lane] = joined;
    ++lanes[lane][lane];
  }
  if (known_.empty()) return;
  Clocks all(threads_ + 1);
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1)
    take_later(all, known_[warp * 32 + static_cast<std::uint32_t>(std::countr_zero(rest))]);
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1)
    known_[warp * 32 + static_cast<std::uint32_t>(std::countr_zero(rest))] = all;
}

void RaceDetector::barrier() {
  ++interval_;
  // Of the threads the new interval says it all; copies have none.
  std::uint32_t copies = 0;
  for (const Clocks& clocks : known_) copies = std::max(copies, clocks.back());
  for (Clocks& clocks : known_) clocks.back() = copies;
}

void RaceDetector::begin_clocks() {
  if (known_.empty()) known_.assign(threads_, Clocks(threads_ + 1));
}

void RaceDetector::arrive(std::uint32_t thread, const void* mbarrier) {
  begin_clocks();
  Clocks& clocks = mbarriers_[mbarrier].under_way;
  clocks.resize(threads_ + 1);
  take_later(clocks, known_[thread]);
  auto& mine = warps_[thread / 32][thread % 32];
  const std::uint32_t first = thread / 32 * 32;
  for (std::uint32_t other = first; other < std::min(first + 32, threads_); ++other)
    clocks[other] = std::max(clocks[other], mine[other % 32]);
  ++mine[thread % 32];
}

void RaceDetector::complete_phase(const void* mbarrier) {
  Phases& phases = mbarriers_[mbarrier];
  phases.complete = std::move(phases.under_way);
  phases.under_way.clear();
}

void RaceDetector::wait(std::uint32_t thread, const void* mbarrier) {
  begin_clocks();
  take_later(known_[thread], mbarriers_[mbarrier].complete);
}

void RaceDetector::land_box(const void* mbarrier, const void* address, std::size_t bytes) {
  begin_clocks();
  Clocks& clocks = mbarriers_[mbarrier].under_way;
  clocks.resize(threads_ + 1);
  clocks.back() = ++copies_clock_;
  const auto* at = static_cast<const char*>(address);
  const Region* const region = region_of(at);
  if (region == nullptr) return;
  Cell* const cells = region->cells + (at - region->begin);
  for (std::size_t i = 0; i < bytes; ++i)
    cells[i].write = {interval_, kCopies, static_cast<unsigned>(Access::kWrite) & 3,
                      copies_clock_ & 0xFFFFF};
}

bool RaceDetector::is_of_copies(const Stamp& stamp) const {
  return stamp.thread == kCopies && threads_ <= kMostThreadsBesideCopies;
}

const RaceDetector::Region* RaceDetector::region_of(const char* at) const {
  if (device_.contains(at)) return &device_;
  if (dynamic_shared_.contains(at)) return &dynamic_shared_;
  if (static_shared_.contains(at) && !is_place(at)) return &static_shared_;
  return nullptr;
}

RaceDetector::Stamp RaceDetector::stamp(std::uint32_t thread, Access kind) const {
  const std::uint32_t clock = warps_[thread / 32][thread % 32][thread % 32];
  return {interval_, thread & 0x3FF, static_cast<unsigned>(kind) & 3, clock & 0xFFFFF};
}

/// Whether a stamp's access came before all that the thread does now. Stamps older than `oldest` are
/// of other launches, or of the shared memory of other blocks.
bool RaceDetector::came_before(const Stamp& then, std::uint32_t thread,
                               std::uint32_t oldest) const {
  if (then.interval < oldest) return true;
  if (then.is(Access::kCopy)) return false;
  if (is_of_copies(then) && then.interval >= block_first_)
    return known_[thread].back() >= then.clock;
  if (then.interval != interval_) return then.interval >= block_first_;
  if (then.thread == thread) return true;
  if (then.thread / 32 == thread / 32 &&
      warps_[thread / 32][thread % 32][then.thread % 32] >= then.clock)
    return true;
  return !known_.empty() && known_[thread][then.thread] >= then.clock;
}

/// Blocks run one after the other: whatever comes after now is unordered with a block before this
/// one, so a stamp of such a block need not be joined by another.
void RaceDetector::remember(Cell& cell, const Stamp& now, std::uint32_t oldest,
                            std::uint32_t position) {
  std::size_t place = 0;
  while (place < 2 && !came_before(cell.others[place], now.thread, oldest)) ++place;
  if (place == 2) {
    const bool another_block =
        cell.others[0].interval < block_first_ || cell.others[1].interval < block_first_;
    const auto warp = [](const Stamp& stamp) { return stamp.thread / 32; };
    // The second of two in one warp makes room for another warp.
    if (another_block || warp(cell.others[0]) != warp(cell.others[1]) ||
        warp(now) == warp(cell.others[0])) {
      return;
    }
    place = 1;
  }
  cell.others[place] = now;
  cell.other_positions[place] = position;
}

void RaceDetector::access(std::uint32_t thread, const void* address, std::size_t bytes, Access kind,
                          const void* position) {
  const auto* at = static_cast<const char*>(address);
  const Region* const region = region_of(at);
  if (region == nullptr) return;
  const bool is_device = region == &device_;
  if (is_device) touched_bytes_ += bytes;
  const std::uint32_t oldest = is_device ? launch_first_ : block_first_;
  const std::uint32_t here = low_half(position);
  const Stamp now = stamp(thread, kind);
  const bool writes = kind == Access::kWrite || kind == Access::kCopy;
  for (Cell* cell = region->cells + (at - region->begin); bytes > 0; --bytes, ++cell, ++at) {
    // Nothing new. A second copy to where one is under way is.
    if (writes ? cell->write == now && kind != Access::kCopy
               : cell->others[0] == now || cell->others[1] == now) {
      continue;
    }
    if (!came_before(cell->write, thread, oldest))
      report({at, region, now, cell->write, here, cell->write_position});
    bool written = is_device || cell->write.interval >= oldest;
    for (int i = 0; i < 2; ++i) {
      const Stamp& other = cell->others[i];
      written |= other.is(Access::kAtomic) && other.interval >= oldest;
      if ((writes || !other.is(kind)) && !came_before(other, thread, oldest))
        report({at, region, now, other, here, cell->other_positions[i]});
    }
    if (writes) {
      *cell = {.write = now, .others = {}, .write_position = here, .other_positions = {}};
    } else {
      if (!written) report({at, region, now, {}, here, here});
      remember(*cell, now, oldest, here);
    }
  }
}

void RaceDetector::land(std::uint32_t thread, const void* address, std::size_t bytes,
                        const void* position) {
  const auto* at = static_cast<const char*>(address);
  const Region* const region = region_of(at);
  if (region == nullptr) return;
  Cell* const cells = region->cells + (at - region->begin);
  for (std::size_t i = 0; i < bytes; ++i) {
    cells[i].write = stamp(thread, Access::kWrite);
    cells[i].write_position = low_half(position);
  }
}

std::string RaceDetector::name_of(const Stamp& stamp) const {
  const auto after = std::upper_bound(
      blocks_.begin(), blocks_.end(), stamp.interval,
      [](std::uint32_t interval, const BlockStart& start) { return interval < start.interval; });
  const uint3 block = std::prev(after)->block;
  if (is_of_copies(stamp)) return "a copy of a box by block " + triple(block.x, block.y, block.z);
  const dim3& shape = block_shape_;
  return "thread " +
         triple(stamp.thread % shape.x, stamp.thread / shape.x % shape.y,
                stamp.thread / shape.x / shape.y) +
         " of block " + triple(block.x, block.y, block.z);
}

void RaceDetector::report(const Found& race) const {
  static constexpr const char* kDoes[] = {"writes", "starts a copy to", "reads",
                                          "changes atomically"};
  static constexpr const char* kDid[] = {"wrote", "has a copy under way to", "read",
                                         "changed atomically"};
  std::string what;
  if (race.region == &device_) {
    const Allocation allocation = find_allocation(race.at);
    what = "byte " + std::to_string(race.at - allocation.data) + " of an allocation of " +
           std::to_string(allocation.bytes) + " bytes of device memory";
  } else {
    what = "byte " + std::to_string(race.at - race.region->begin) +
           (race.region == &dynamic_shared_ ? " of dynamic shared memory"
                                            : " of static shared memory");
  }
  const std::string lines = lines_of(race.position, race.other_position);
  if (race.then.interval == 0) {
    fail("%s %s %s, which no thread of the block has written yet (%s)", name_of(race.now).c_str(),
         kDoes[race.now.kind], what.c_str(), lines.c_str());
  }
  fail("a race: %s %s %s, which %s %s, and nothing orders the two (%s)", name_of(race.now).c_str(),
       kDoes[race.now.kind], what.c_str(), name_of(race.then).c_str(), kDid[race.then.kind],
       lines.c_str());
}

}  // namespace cuda_emulator
