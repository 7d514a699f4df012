#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace cuda_emulator {

/// Who uses an mbarrier: the thread's number in its block, and how many __syncthreads() are past.
struct MbarrierUser {
  std::uint32_t thread = 0, intervals = 0;
};

/// The mbarriers of the block that runs (PTX ISA, "mbarrier"). What the ISA leaves undefined ends the
/// program. Of the 8 bytes in shared memory only their contents are looked at: they must stay.
class Mbarriers {
 public:
  /// Before and after a block. At its end no mbarrier may wait for bytes.
  void begin_block() { all_.clear(); }
  void end_block() const;

  void init(std::uint64_t* at, std::uint32_t arrivals, MbarrierUser user);
  void invalidate(std::uint64_t* at, MbarrierUser user);
  /// The thread's mbarriers become visible to the async proxy.
  void fence(std::uint32_t thread);
  void require_fenced(std::uint64_t* at, MbarrierUser user) const;

  /// Each returns whether that completes a phase.
  bool arrive(std::uint64_t* at, std::uint32_t expected_bytes, MbarrierUser user);
  bool complete_bytes(std::uint64_t* at, std::uint32_t bytes);

  /// Notes that the thread waits for this parity, which must not be that of its wait before. Returns
  /// whether the phase is complete.
  bool wait(std::uint64_t* at, std::uint32_t parity, MbarrierUser user);

  [[nodiscard]] bool knows(std::uint64_t* at) const { return all_.contains(at); }
  /// For messages: what its phase waits for.
  [[nodiscard]] std::string describe(std::uint64_t* at) const;

 private:
  struct Mbarrier {
    std::uint32_t arrivals = 0;  // of each phase
    std::uint32_t pending = 0;   // of them
    std::int64_t bytes = 0;      // expected and not yet there
    std::uint32_t phase = 0;
    MbarrierUser creator;
    bool fenced = false;
    std::map<std::uint32_t, std::uint32_t> parities;  // of each thread's last wait
  };

  Mbarrier& find(std::uint64_t* at, const char* operation);
  static void require_ordered(const Mbarrier& barrier, MbarrierUser user, const char* operation);
  static bool finish_phase(Mbarrier& barrier);

  std::map<std::uint64_t*, Mbarrier> all_;
};

}  // namespace cuda_emulator
