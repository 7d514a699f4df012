// main() of tests that mpirun starts: every rank runs every test, and all ranks fail when one does.
#include "parallel/comm/mpi/mpi_world.h"
#include "tests/support/launched_world.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>

namespace retinue::test {
namespace {

// A global, because GoogleTest passes nothing to the bodies of tests.
World* world_of_main = nullptr;

}  // namespace

World& launched_world() { return *world_of_main; }

}  // namespace retinue::test

int main(int argc, char** argv) {
  using namespace retinue;
  testing::InitGoogleTest(&argc, argv);
  World world({.deadline_s = 60});
  test::world_of_main = &world;
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  if (world.rank() != 0) {
    delete listeners.Release(listeners.default_result_printer());
    // All ranks have the same --gtest_output, so only one writes the file.
    delete listeners.Release(listeners.default_xml_generator());
  }
  // The other ranks have no printer, but must still report their failures.
  class Failures : public testing::EmptyTestEventListener {
    void OnTestPartResult(const testing::TestPartResult& result) override {
      if (result.failed())
        std::fprintf(stderr, "%s:%d: %s\n", result.file_name(), result.line_number(),
                     result.message());
    }
  };
  if (world.rank() != 0) listeners.Append(new Failures);

  std::int64_t failed = RUN_ALL_TESTS() == 0 ? 0 : 1;
  std::vector<std::int64_t> all(static_cast<std::size_t>(world.size()));
  const std::vector<std::int64_t> one_each(all.size(), 1);
  world.comm().all_gather(
      Stream{Device{}}, TensorView(reinterpret_cast<std::byte*>(&failed), DType::kI64, {1}),
      TensorView(reinterpret_cast<std::byte*>(all.data()), DType::kI64, {world.size()}), one_each);
  for (const std::int64_t rank_failed : all) failed |= rank_failed;
  return static_cast<int>(failed);
}
