#pragma once

#include <cstdint>
#include <deque>
#include <vector>

namespace cuda_emulator {

/// What one lane brings to a wgmma.
struct WgmmaOperands {
  float* d;
  int columns;
  std::uint64_t a, b;
  bool accumulate;
};

/// The products by warpgroups of the block that runs. Their warps need not run side by side: each
/// computes its 16 rows by itself, when it waits for them.
class Wgmmas {
 public:
  void begin_block(std::uint32_t threads);
  /// All products must have been waited for, and the warps of a warpgroup have done the same.
  void end_block() const;

  // Warp operations of the warp.
  void fence(std::uint32_t warp) { warps_[warp].fenced = true; }
  void start(std::uint32_t warp, void* const* lanes);
  void commit(std::uint32_t warp);
  void wait(std::uint32_t warp, std::size_t pending_groups);

 private:
  /// The registers of a product: 16 rows of results, those of the warp. While products are in flight they
  /// hold NaN, and `values` what they will.
  struct Accumulator {
    std::vector<float*> lanes;
    int columns = 0, in_flight = 0;
    std::vector<float> values;  // [columns / 8, 16, 8]
  };
  struct Product {
    std::size_t accumulator = 0;
    WgmmaOperands of = {};
    std::vector<std::uint16_t> matrices;  // a's 16 rows, then b's, as they were at the start
  };
  struct Warp {
    bool fenced = false;
    std::vector<Accumulator> accumulators;
    std::deque<Product> products;
    std::deque<std::size_t> groups;  // products of each closed group
    std::size_t open = 0;            // products since
    std::size_t started = 0;
  };
  /// What the warps of a warpgroup have started; each must start the same.
  using Log = std::vector<WgmmaOperands>;

  void compare_with_warpgroup(std::uint32_t warp, const WgmmaOperands& mine);
  std::size_t find_accumulator(Warp& warp, void* const* lanes);
  static void finish(std::uint32_t number, Warp& warp);

  std::vector<Warp> warps_;
  std::vector<Log> logs_;
};

}  // namespace cuda_emulator
