// A rank for ranks_end_test: its argument names how world rank 2, or every rank, ends.
#include "parallel/base/check.h"
#include "parallel/comm/mpi/mpi_world.h"
#include "parallel/comm/mpi/watch.h"

#include <csignal>
#include <cstdio>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace retinue {
namespace {

int run(std::string_view how) {
  World world;
  std::fprintf(stdout, "pid %d\n", static_cast<int>(getpid()));
  std::fflush(stdout);
  if (how == "before" && world.rank() == 2) throw SystemError("[host] too old");
  return run_ranks(world, [&]() -> int {
    const bool chosen = world.rank() == 2 % world.size();
    std::vector<float> x(1000);
    const TensorView view(reinterpret_cast<std::byte*>(x.data()), DType::kF32, {1000});
    const Stream stream{Device{}};
    for (int i = 0; i < 10; ++i) world.comm().all_reduce(stream, view);
    if (how == "codes") return chosen ? 3 : 0;
    if (how == "kill" && chosen) std::raise(SIGKILL);
    if (how == "throw" && chosen) throw SystemError("[disk] no space left");
    if (how == "bug" && chosen) check(false, "an invariant");
    if (how == "all-usage") throw UsageError("[mesh] does not fit");
    if (how == "busy" && !chosen)
      for (volatile bool forever = true; forever;) {
      }
    if (how == "busy") throw SystemError("[disk] no space left");
    // The others wait: in a sum, for a message, in a barrier.
    if (world.rank() == 0) world.comm().all_reduce(stream, view);
    if (world.rank() == 1) world.comm().recv(stream, view, 2 % world.size(), 0);
    world.comm().barrier();
    return 0;
  });
}

}  // namespace
}  // namespace retinue

int main(int, char** argv) {
  try {
    return retinue::run(argv[1]);
  } catch (const retinue::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 75;
  }
}
