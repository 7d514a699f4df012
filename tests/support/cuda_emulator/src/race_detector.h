#pragma once

#include "cuda_emulator/vector_types.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace cuda_emulator {

/// Whether the backend's sources are compiled so that its threads' accesses are known.
inline constexpr bool kFindsRaces = CUDA_EMULATOR_FINDS_RACES != 0;

/// What a thread does with bytes of shared or device memory.
enum class Access : std::uint8_t {
  kWrite,
  kCopy,  ///< an asynchronous copy writes them at any time until it has landed
  kRead,
  kAtomic,
};

/// Finds two accesses to a byte, one of which at least writes, that nothing orders: in any schedule,
/// also one that the emulator does not run, and whether or not the values differ. A race ends the
/// program with both threads, both places in the program and the byte.
///
/// Order: a thread's own accesses; __syncthreads() orders all threads of a block; __syncwarp() the
/// lanes of its mask; an mbarrier what came before a phase's arrivals, and its copies of boxes, before what
/// comes after a wait for the phase. Nothing else does: shuffles and votes order no memory, and atomics
/// only exclude each other, with or without fences. So no two blocks of a launch have an order.
///
/// It remembers of each byte the last write and two threads that read it or changed it atomically
/// since. Two are enough unless a third one reads, too, and the writer is ordered after the other two by
/// a __syncwarp() or an mbarrier without the third.
class RaceDetector {
 public:
  RaceDetector();
  RaceDetector(const RaceDetector&) = delete;
  RaceDetector& operator=(const RaceDetector&) = delete;
  ~RaceDetector() = default;

  void begin_launch(dim3 block, std::span<const char> dynamic_shared);
  void begin_block(uint3 block);
  /// All threads of the block have arrived.
  void barrier();
  /// The lanes of the mask have arrived.
  void sync_warp(std::uint32_t warp, std::uint32_t mask);

  /// A thread arrives at an mbarrier; its phase is complete; a thread has waited for that.
  void arrive(std::uint32_t thread, const void* mbarrier);
  void complete_phase(const void* mbarrier);
  void wait(std::uint32_t thread, const void* mbarrier);
  /// A copy of a box has landed, which counts for the phase.
  void land_box(const void* mbarrier, const void* address, std::size_t bytes);
  static constexpr std::uint32_t kMostThreadsBesideCopies = 1023;

  /// `position`: where in the program; the return address of the caller's own call.
  void access(std::uint32_t thread, const void* address, std::size_t bytes, Access kind,
              const void* position);
  /// The thread's copy to these bytes has landed.
  void land(std::uint32_t thread, const void* address, std::size_t bytes, const void* position);

 private:
  /// Who did something, and when. Intervals number the time between two barriers of a block; block
  /// after block and launch after launch get new numbers. The clock counts a lane's __syncwarp().
  struct Stamp {
    std::uint32_t interval = 0;
    std::uint32_t thread : 10 = 0, kind : 2 = 0, clock : 20 = 0;

    [[nodiscard]] bool is(Access access) const { return kind == static_cast<unsigned>(access); }
    bool operator==(const Stamp&) const = default;
  };
  /// What is known of a byte. All zeros: nothing.
  struct Cell {
    Stamp write, others[2];
    std::uint32_t write_position, other_positions[2];  // lower halves of addresses
  };
  struct Region {
    const char* begin = nullptr;
    std::size_t bytes = 0;
    Cell* cells = nullptr;

    [[nodiscard]] bool contains(const char* at) const {
      return static_cast<std::size_t>(at - begin) < bytes;
    }
  };
  /// For each lane the clocks of all that it knows: what they did until then came before.
  using Lanes = std::array<std::array<std::uint32_t, 32>, 32>;
  /// The clocks of all threads of the block and, last, of the copies of boxes.
  using Clocks = std::vector<std::uint32_t>;
  struct Phases {
    Clocks under_way, complete;  // what comes before their ends
  };
  /// Instead of a thread: the copies of boxes that have landed.
  static constexpr std::uint32_t kCopies = 1023;

  struct Found {
    const char* at;
    const Region* region;
    Stamp now, then;
    std::uint32_t position, other_position;
  };

  [[nodiscard]] const Region* region_of(const char* at) const;
  [[nodiscard]] bool came_before(const Stamp& then, std::uint32_t thread,
                                 std::uint32_t oldest) const;
  [[nodiscard]] Stamp stamp(std::uint32_t thread, Access kind) const;
  void begin_clocks();
  [[nodiscard]] bool is_of_copies(const Stamp& stamp) const;
  void remember(Cell& cell, const Stamp& now, std::uint32_t oldest, std::uint32_t position);
  [[noreturn]] void report(const Found& race) const;
  [[nodiscard]] std::string name_of(const Stamp& stamp) const;

  dim3 block_shape_;
  std::uint32_t interval_ = 0;
  std::uint32_t launch_first_ = 0, block_first_ = 0;  // their first intervals
  struct BlockStart {
    std::uint32_t interval;
    uint3 block;
  };
  std::vector<BlockStart> blocks_;  // of this launch
  std::vector<Lanes> warps_;
  std::vector<Clocks> known_;  // by each thread, from mbarriers; empty until the block uses one
  std::map<const void*, Phases> mbarriers_;
  std::uint32_t threads_ = 0, copies_clock_ = 0;
  Region device_, dynamic_shared_, static_shared_;
  std::vector<Cell> dynamic_cells_, static_cells_;
  std::size_t touched_bytes_ = 0;  // of device memory, since its cells were forgotten
};

}  // namespace cuda_emulator
