#pragma once

#include "parallel/base/exit_code.h"
#include "parallel/comm/communicator.h"
#include "parallel/comm/mpi/mpi_world.h"

#include <functional>
#include <memory>
#include <string>

namespace retinue {

/// Why the ranks end.
struct Failure {
  int rank = 0;
  int exit_code = 0;
  double time_s = 0;  ///< wall clock of the rank that saw it
  std::string host;
  std::string message;
};

/// A thread beside the collectives of one rank, with a communicator of its own: it hears of a
/// failure on any rank while this one computes, waits or does nothing. A rank that is killed
/// outright is seen by mpirun or srun, which ends the others in 2 to 3 s.
class Watch {
 public:
  struct Options {
    double poll_s = 0.02;
    /// A failure is held back so long, in case an earlier one is still on its way.
    double settle_s = 0.2;
    /// How long ranks wait for each other to leave once one has failed.
    double leave_s = 1.5;
    /// A neighbour unheard of for so long has failed. 0: never. It beats once a second.
    double silence_s = 120;
  };
  struct Callbacks {
    /// Once, on the watch's thread: the first failure of all ranks.
    std::function<void(const Failure& first)> on_failure;
    /// On the watch's thread, when this rank has not called finish() leave_s after that.
    std::function<void(int exit_code)> on_overdue;
  };

  /// `comm` must go on after an abort of the others. Every rank of it makes a Watch.
  Watch(std::unique_ptr<Communicator> comm, std::string host, const Options& options,
        Callbacks callbacks);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  /// Tells all ranks that this one failed. Returns at once.
  void fail(int exit_code, std::string message);
  /// This rank has nothing left to do. Returns the code for all ranks when all have come here, or
  /// soon after one has failed.
  int finish(int exit_code);

 private:
  class Thread;
  std::unique_ptr<Thread> thread_;
};

/// The life of a rank, for the launcher's main: runs `body` and returns the code that all ranks
/// leave with. A body that returns has ended in order, with that code; one that throws has failed:
/// then every rank reports the first failure before anything else, its waits throw, and it leaves
/// within seconds. A rank that is too busy to leave is ended.
/// `report` gets the first failure on each rank; by default it is one line on stderr.
int run_ranks(World& world, const std::function<int()>& body,
              std::function<void(const Failure& first)> report = {});

}  // namespace retinue
