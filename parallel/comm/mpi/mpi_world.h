#pragma once

// Tested through tests/parallel/comm/mpi/watch_test.cpp.

#include "parallel/comm/communicator.h"
#include "parallel/comm/mpi/mpi_communicator.h"

#include <memory>
#include <string>
#include <string_view>

namespace retinue {

/// All ranks of this launch, from MPI's start to its end. One per process; it outlives the
/// communicators that it makes.
///
/// Without mpirun or srun it is a world of one, and MPI is not started at all: that saves 0.1 to
/// 0.4 s, and works on hosts where MPI would search for network interfaces.
class World {
 public:
  struct Options {
    double deadline_s = 300;  ///< of every blocking wait for other ranks
  };

  /// Throws: SystemError without MPI_THREAD_MULTIPLE; UsageError under srun without --mpi=pmix,
  /// where every task would be a world of its own.
  explicit World(const Options& options);
  World() : World(Options()) {}
  /// Ends MPI, together with all ranks. A broken world (Communicator::abort), and one that an
  /// exception unwinds, only leaves: its peers may never come.
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// True where mpirun or srun started this process as one of its ranks.
  static bool launched();

  [[nodiscard]] Communicator& comm() const { return *comm_; }
  [[nodiscard]] int rank() const { return comm_->rank(); }
  [[nodiscard]] int size() const { return comm_->size(); }
  /// This rank's number among the ranks of this host, and how many those are.
  [[nodiscard]] int node_rank() const { return node_rank_; }
  [[nodiscard]] int node_size() const { return node_size_; }
  [[nodiscard]] const std::string& host() const { return host_; }

  /// A second group of all ranks, whose messages are matched separately: for another thread, or
  /// another way to sum. Collective.
  std::unique_ptr<Communicator> duplicate(std::string_view label, const MpiOptions& options = {});

  /// Ends all ranks at once, without unwinding. Never returns.
  [[noreturn]] void abort(int exit_code) noexcept;

 private:
  struct Mpi;

  std::unique_ptr<Mpi> mpi_;  ///< null in a plain world of one
  std::unique_ptr<Communicator> comm_;
  int node_rank_ = 0;
  int node_size_ = 1;
  std::string host_;
  int exceptions_;  ///< in flight when this was made
};

}  // namespace retinue
