#pragma once

// Tested through tests/parallel/comm/communicator_conformance_test.cpp.

// Internal to mpi_*.cpp, and the only header that needs <mpi.h>: the state that the communicators
// of one process share.

#include "parallel/comm/communicator.h"
#include "parallel/comm/mpi/mpi_communicator.h"
#include "parallel/comm/poll.h"

#include <mpi.h>

#include <cstddef>
#include <memory>
#include <mutex>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::detail {

/// Throws SystemError with MPI's own text unless `code` is MPI_SUCCESS.
void mpi_check(int code, const char* command,
               std::source_location where = std::source_location::current());
#define RETINUE_MPI_CHECK(command) ::retinue::detail::mpi_check((command), #command)

/// Shared by the world and every communicator made from it.
struct MpiSession {
  PollPolicy policy;
  BrokenFlag broken;
  BrokenFlag never_broken;  ///< of groups that survive an abort
  std::string host;
  int world_rank = 0;

  /// Freed at the world's end, in the order of creation, which is the same on all ranks of a group.
  /// Freeing may wait for peers, so no destructor does it: one may run while an exception unwinds.
  std::mutex mutex;
  std::vector<MPI_Comm> comms;
  std::vector<MPI_Win> windows;
};

/// Owns `comm` from now on. Collective over it.
std::unique_ptr<Communicator> make_mpi_communicator(std::shared_ptr<MpiSession> session,
                                                    MPI_Comm comm, std::string_view label,
                                                    const MpiOptions& options);

/// Messages in flight that are waited for together. Of any size: long ones are sent in parts.
class MpiRequests {
 public:
  static constexpr std::size_t kPartBytes = std::size_t{1} << 30;

  explicit MpiRequests(MPI_Comm comm) : comm_(comm) {}
  /// Cancels messages that have not arrived, so that MPI writes nothing after an exception.
  ~MpiRequests();
  MpiRequests(const MpiRequests&) = delete;
  MpiRequests& operator=(const MpiRequests&) = delete;

  void send(const std::byte* data, std::size_t size_bytes, int to, int tag);
  void recv(std::byte* data, std::size_t size_bytes, int from, int tag);
  /// Throws: SystemError by `poll`; BugError when a message had another size.
  void wait(Poll poll);

 private:
  MPI_Comm comm_;
  std::vector<MPI_Request> requests_;
  std::vector<MPI_Status> statuses_;
  std::vector<int> expected_bytes_;  ///< -1: a send
};

}  // namespace retinue::detail
