#include "cuda_emulator/simt.h"
#include "layers/kernels/cuda/ptx_hopper.cuh"
#include "tests/support/cuda_emulator/src/block_executor.h"

// mbarriers and copies of boxes, as kernels call them.

namespace retinue::cuda {

namespace {

using cuda_emulator::BlockExecutor;

BlockExecutor& hopper_block(const char* operation) {
  cuda_emulator::require_hopper(operation);
  return cuda_emulator::running_block(operation);
}

}  // namespace

void mbarrier_init(Mbarrier* barrier, int arrivals) {
  BlockExecutor& block = hopper_block("mbarrier_init");
  block.mbarriers().init(barrier, static_cast<std::uint32_t>(arrivals), block.mbarrier_user());
}

void mbarrier_init_fence() {
  BlockExecutor& block = hopper_block("mbarrier_init_fence");
  block.mbarriers().fence(block.thread_index());
}

void mbarrier_invalidate(Mbarrier* barrier) {
  BlockExecutor& block = hopper_block("mbarrier_invalidate");
  block.mbarriers().invalidate(barrier, block.mbarrier_user());
}

void mbarrier_arrive(Mbarrier* barrier) { mbarrier_arrive_expect(barrier, 0); }

void mbarrier_arrive_expect(Mbarrier* barrier, int bytes) {
  hopper_block("mbarrier_arrive").arrive_at_mbarrier(barrier, static_cast<std::uint32_t>(bytes));
}

void mbarrier_wait(Mbarrier* barrier, int parity) {
  hopper_block("mbarrier_wait").wait_at_mbarrier(barrier, static_cast<std::uint32_t>(parity));
}

void fence_proxy_async() {
  BlockExecutor& block = hopper_block("fence_proxy_async");
  block.async_proxy().fence();
  block.mbarriers().fence(block.thread_index());
}

void copy_box_2d(void* shared, const CUtensorMap* map, int column, int row, Mbarrier* barrier) {
  BlockExecutor& block = hopper_block("copy_box_2d");
  block.mbarriers().require_fenced(barrier, block.mbarrier_user());
  block.start_copy({cuda_emulator::read_map(map), column, row, static_cast<char*>(shared), barrier},
                   __builtin_return_address(0));
}

}  // namespace retinue::cuda
