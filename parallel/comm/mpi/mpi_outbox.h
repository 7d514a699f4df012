#pragma once
// Tested through tests/parallel/comm/communicator_conformance_test.cpp.

#include <mpi.h>

#include <cstddef>
#include <list>
#include <span>
#include <vector>

namespace retinue::detail {

/// Messages on their way to ranks that may be slow: sending waits for none of them. They leave
/// while this process is in any call of MPI.
class MpiOutbox {
 public:
  explicit MpiOutbox(MPI_Comm comm) : comm_(comm) {}
  /// Messages that have not left still do, as long as MPI runs: their bytes are never freed.
  ~MpiOutbox();
  MpiOutbox(const MpiOutbox&) = delete;
  MpiOutbox& operator=(const MpiOutbox&) = delete;

  /// Sends a copy of `bytes`.
  void post(std::span<const std::byte> bytes, int to, int tag);

 private:
  struct Message {
    std::vector<std::byte> bytes;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  void drop_sent();

  MPI_Comm comm_;
  std::list<Message> messages_;
};

}  // namespace retinue::detail
