#pragma once

#include "parallel/base/exit_code.h"
#include "parallel/comm/communicator.h"
#include "parallel/comm/mpi/mpi_world.h"

#include <functional>
#include <memory>
#include <string>

namespace retinue {

/// The failure that ends all ranks.
struct RankFailure {
  int rank = 0;
  int exit_code = 0;
  double time_s = 0;  ///< wall clock of the rank that reported it
  std::string host;
  std::string message;
};

/// A thread beside the collectives of one rank, with a communicator of its own: it receives
/// failures of other ranks while this one computes, waits or is idle. mpirun or srun notices a rank
/// that is killed, and ends the others in 2 to 3 s.
class Watch {
 public:
  struct Options {
    double poll_s = 0.02;
    /// A failure is reported after this time, because an earlier one may still arrive.
    double hold_s = 0.2;
    /// Time for ranks to leave together once one has failed.
    double leave_s = 1.5;
    /// A neighbour that has been silent for so long has failed; 0: never. It beats once a second.
    double silence_s = 120;
  };
  struct Callbacks {
    /// Called once, on the watch's thread, with the first failure of all ranks.
    std::function<void(const RankFailure& first)> on_failure;
    /// Called on the watch's thread when this rank has not called finish() leave_s later.
    std::function<void(int exit_code)> on_overdue;
  };

  /// `comm` must work after an abort of the others (MpiOptions). Every rank of it makes a Watch.
  Watch(std::unique_ptr<Communicator> comm, std::string host, const Options& options,
        Callbacks callbacks);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  /// Reports to all ranks that this one failed. Returns at once.
  void fail(int exit_code, std::string message);
  /// This rank has ended its work. Returns the code for all ranks when all have called it, or soon
  /// after one has failed.
  int finish(int exit_code);

 private:
  class Thread;
  std::unique_ptr<Thread> thread_;
};

/// The life of a rank, for the launcher's main: runs `body` and returns the code that all ranks
/// leave with. A body that returns has ended in order, with that code. A body that throws has
/// failed: every rank reports the first failure before anything else, its waits throw, and it
/// leaves within seconds. A rank that is too busy to leave is ended.
///   report   called on each rank with the first failure; by default prints one line to stderr
int run_ranks(World& world, const std::function<int()>& body,
              std::function<void(const RankFailure& first)> report = {});

}  // namespace retinue
