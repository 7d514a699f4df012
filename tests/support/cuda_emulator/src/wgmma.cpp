#include "tests/support/cuda_emulator/src/wgmma.h"

#include "cuda_emulator/simt.h"
#include "layers/kernels/cuda/ptx_hopper.cuh"
#include "tests/support/cuda_emulator/src/block_executor.h"
#include "tests/support/cuda_emulator/src/device.h"
#include "tests/support/cuda_emulator/src/mma_order.h"
#include "tests/support/cuda_emulator/src/tensor_map.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace cuda_emulator {
namespace {

constexpr int kRows = 16, kProducts = 16;  // of one warp
constexpr std::uint32_t kNaNBits = 0xFFFFFFFFu;

bool is_nan_of_ours(float value) { return std::bit_cast<std::uint32_t>(value) == kNaNBits; }

/// A matrix descriptor (PTX ISA, "Matrix Descriptor Format") of rows along k.
struct Descriptor {
  std::uint32_t address, eight_k_bytes, eight_rows_bytes;
  std::uint32_t span;  // of the swizzle; 16: none

  explicit Descriptor(std::uint64_t bits) {
    const auto field = [&](int from) {
      return static_cast<std::uint32_t>(bits >> from & 0x3FFF) << 4;
    };
    address = field(0), eight_k_bytes = field(16), eight_rows_bytes = field(32);
    const auto mode = static_cast<unsigned>(bits >> 62);
    span = mode == 0 ? 16 : 256u >> mode;
    constexpr std::uint64_t kUnused = 0x3FFF'C000'C000'C000;
    if ((bits & kUnused) != 0)
      fail(
          "wgmma: the emulator has descriptors without a base offset, and unused bits are zero; "
          "got "
          "0x%016llx",
          static_cast<unsigned long long>(bits));
    // The pattern of a swizzle goes by bits of the address; it begins with row 0.
    if ((address & (8 * span - 1)) >= span && mode != 0)
      fail("wgmma: the matrix at 0x%05x does not begin where the pattern of %u bytes does", address,
           8 * span);
  }

  /// Where 8 elements of a row lie in shared memory.
  [[nodiscard]] std::uint32_t piece(std::uint32_t row, std::uint32_t eight_k) const {
    const std::uint32_t at = address + row % 8 * span + row / 8 * eight_rows_bytes +
                             eight_k * (span == 16 ? eight_k_bytes : 16);
    return swizzled(at, span);
  }
};

void read_rows(const Descriptor& from, std::uint32_t first, std::uint32_t rows, std::uint16_t* to) {
  BlockExecutor& block = running_block("wgmma");
  for (std::uint32_t row = first; row < first + rows; ++row)
    for (std::uint32_t eight_k = 0; eight_k < 2; ++eight_k, to += 8) {
      const char* const at = block.shared_at(from.piece(row, eight_k));
      block.async_proxy().require_visible(at, 16, "wgmma");
      block.note_access_of_warp(at, 16);
      std::memcpy(to, at, 16);
    }
}

/// a's rows of the warp and all of b's.
std::vector<std::uint16_t> read_matrices(std::uint32_t warp, const WgmmaOperands& of) {
  std::vector<std::uint16_t> read(static_cast<std::size_t>(kRows + of.columns) * kProducts);
  read_rows(Descriptor(of.a), warp % 4 * kRows, kRows, read.data());
  read_rows(Descriptor(of.b), 0, static_cast<std::uint32_t>(of.columns),
            read.data() + kRows * kProducts);
  return read;
}

float widened(std::uint16_t bf16) { return std::bit_cast<float>(std::uint32_t{bf16} << 16); }

/// The element of a lane's register.
struct Place {
  int row, column;
};
Place place_of(int lane, int element) {
  return {lane / 4 + element / 2 % 2 * 8, element / 4 * 8 + lane % 4 * 2 + element % 2};
}
std::size_t index_of(Place at) {
  return static_cast<std::size_t>(at.column / 8 * kRows * 8 + at.row * 8 + at.column % 8);
}

void multiply(const std::vector<std::uint16_t>& matrices, int columns, float* values) {
  float a[kRows][kProducts];
  for (int row = 0; row < kRows; ++row)
    for (int k = 0; k < kProducts; ++k)
      a[row][k] = widened(matrices[static_cast<std::size_t>(row * kProducts + k)]);
  for (int first = 0; first < columns; first += 8) {
    float b[kProducts][8], d[kRows][8];
    for (int column = 0; column < 8; ++column)
      for (int k = 0; k < kProducts; ++k)
        b[k][column] =
            widened(matrices[static_cast<std::size_t>((kRows + first + column) * kProducts + k)]);
    std::memcpy(d, values + first * kRows, sizeof d);
    multiply_add(a, b, mma_order(), d);
    std::memcpy(values + first * kRows, d, sizeof d);
  }
}

}  // namespace

void Wgmmas::begin_block(std::uint32_t threads) {
  const std::size_t warps = (threads + 31) / 32;
  warps_.assign(warps, {});
  logs_.assign((warps + 3) / 4, {});
}

void Wgmmas::end_block() const {
  for (std::size_t i = 0; i < warps_.size(); ++i) {
    if (!warps_[i].products.empty()) fail("a block ends while its wgmma are in flight");
    if (warps_[i].started != logs_[i / 4].size())
      fail("warp %zu started %zu wgmma, and another of its warpgroup %zu", i, warps_[i].started,
           logs_[i / 4].size());
  }
}

void Wgmmas::compare_with_warpgroup(std::uint32_t warp, const WgmmaOperands& mine) {
  if (warp / 4 * 4 + 4 > warps_.size()) fail("wgmma: a warpgroup has four warps");
  Log& log = logs_[warp / 4];
  const std::size_t number = warps_[warp].started++;
  if (number == log.size()) return log.push_back(mine);
  const WgmmaOperands& other = log[number];
  if (mine.columns != other.columns || mine.a != other.a || mine.b != other.b ||
      mine.accumulate != other.accumulate)
    fail("wgmma: the warps of a warpgroup start different products");
}

std::size_t Wgmmas::find_accumulator(Warp& warp, void* const* lanes) {
  const auto* const first = static_cast<const WgmmaOperands*>(lanes[0]);
  const auto count = static_cast<std::size_t>(first->columns / 2);
  std::size_t found = 0;
  for (; found < warp.accumulators.size(); ++found)
    if (warp.accumulators[found].lanes[0] == first->d) break;
  if (found == warp.accumulators.size()) warp.accumulators.emplace_back();
  Accumulator& mine = warp.accumulators[found];
  if (mine.in_flight > 0) {
    if (mine.columns != first->columns) fail("wgmma: registers in flight have another shape");
    return found;
  }
  if (!warp.fenced) fail("wgmma: no wgmma_fence is between other uses of its registers and it");
  mine = {.lanes = {}, .columns = first->columns, .in_flight = 0, .values = {}};
  mine.values.resize(count * 32);
  for (int lane = 0; lane < 32; ++lane) {
    float* const d = static_cast<const WgmmaOperands*>(lanes[lane])->d;
    mine.lanes.push_back(d);
    for (std::size_t i = 0; i < count; ++i) {
      mine.values[index_of(place_of(lane, static_cast<int>(i)))] = d[i];
      d[i] = std::bit_cast<float>(kNaNBits);
    }
  }
  return found;
}

void Wgmmas::start(std::uint32_t warp, void* const* lanes) {
  const WgmmaOperands mine = *static_cast<const WgmmaOperands*>(lanes[0]);
  for (int lane = 1; lane < 32; ++lane) {
    const auto& other = *static_cast<const WgmmaOperands*>(lanes[lane]);
    if (other.a != mine.a || other.b != mine.b || other.accumulate != mine.accumulate ||
        other.columns != mine.columns)
      fail("wgmma: the lanes of a warp start different products");
  }
  compare_with_warpgroup(warp, mine);
  Warp& w = warps_[warp];
  Product product{find_accumulator(w, lanes), mine, read_matrices(warp, mine)};
  ++w.accumulators[product.accumulator].in_flight;
  w.products.push_back(std::move(product));
  ++w.open;
}

void Wgmmas::commit(std::uint32_t warp) {
  Warp& w = warps_[warp];
  w.groups.push_back(w.open);
  w.open = 0;
}

/// The oldest product of a warp.
void Wgmmas::finish(std::uint32_t number, Warp& warp) {
  const Product product = std::move(warp.products.front());
  warp.products.pop_front();
  if (read_matrices(number, product.of) != product.matrices)
    fail("wgmma: its matrices were overwritten before wgmma_wait");
  Accumulator& mine = warp.accumulators[product.accumulator];
  if (!product.of.accumulate) std::fill(mine.values.begin(), mine.values.end(), 0.0F);
  multiply(product.matrices, mine.columns, mine.values.data());
  if (--mine.in_flight > 0) return;
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < mine.columns / 2; ++i) {
      float& d = mine.lanes[static_cast<std::size_t>(lane)][i];
      if (!is_nan_of_ours(d)) fail("wgmma: its registers were written before wgmma_wait");
      d = mine.values[index_of(place_of(lane, i))];
    }
}

void Wgmmas::wait(std::uint32_t warp, std::size_t pending_groups) {
  Warp& w = warps_[warp];
  while (w.groups.size() > pending_groups) {
    for (; w.groups.front() > 0; --w.groups.front()) finish(warp, w);
    w.groups.pop_front();
  }
  // Now the results may be read and written; a fence comes before the next product of them.
  w.fenced = false;
}

}  // namespace cuda_emulator

namespace retinue::cuda {
namespace {

using cuda_emulator::BlockExecutor;
using cuda_emulator::running_block;
using cuda_emulator::WarpOperation;
using cuda_emulator::WgmmaOperands;

constexpr std::uint32_t kWholeWarp = 0xFFFFFFFFu;

std::uint32_t warp_of(BlockExecutor& block) { return block.thread_index() / 32; }

void complete_fence(std::uint32_t, void* const*) {
  BlockExecutor& block = running_block("wgmma_fence");
  block.wgmmas().fence(warp_of(block));
}
void complete_start(std::uint32_t, void* const* lanes) {
  BlockExecutor& block = running_block("wgmma");
  block.wgmmas().start(warp_of(block), lanes);
}
void complete_commit(std::uint32_t, void* const*) {
  BlockExecutor& block = running_block("wgmma_commit");
  block.wgmmas().commit(warp_of(block));
}
void complete_wait(std::uint32_t, void* const* lanes) {
  BlockExecutor& block = running_block("wgmma_wait");
  block.wgmmas().wait(warp_of(block), *static_cast<const std::size_t*>(lanes[0]));
}

void complete_nothing(std::uint32_t, void* const*) {}

constexpr WarpOperation kRegisters{"a change of registers", complete_nothing, true};
constexpr WarpOperation kFence{"wgmma_fence", complete_fence, true};
constexpr WarpOperation kStart{"wgmma", complete_start, true};
constexpr WarpOperation kCommit{"wgmma_commit", complete_commit, true};
constexpr WarpOperation kWait{"wgmma_wait", complete_wait, true};

}  // namespace

std::uint32_t detail::shared_address(const void* shared) {
  return running_block("shared_matrix").shared_address(shared);
}

void detail::change_registers() {
  cuda_emulator::require_hopper("a change of registers");
  cuda_emulator::warp_rendezvous(kRegisters, kWholeWarp, nullptr);
}

void detail::start_wgmma(float* d, int columns, std::uint64_t a, std::uint64_t b, bool accumulate) {
  cuda_emulator::require_hopper("wgmma");
  WgmmaOperands mine{d, columns, a, b, accumulate};
  cuda_emulator::warp_rendezvous(kStart, kWholeWarp, &mine);
}

void detail::wait_for_wgmma(int pending_groups) {
  auto pending = static_cast<std::size_t>(pending_groups);
  cuda_emulator::warp_rendezvous(kWait, kWholeWarp, &pending);
}

void wgmma_fence() { cuda_emulator::warp_rendezvous(kFence, kWholeWarp, nullptr); }
void wgmma_commit() { cuda_emulator::warp_rendezvous(kCommit, kWholeWarp, nullptr); }

}  // namespace retinue::cuda
