#include "parallel/comm/mpi/mpi_session.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace retinue::detail {

void mpi_check(int code, const char* command, std::source_location where) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw SystemError(fmt::format("[mpi] {} ({}:{}) failed: {}", command, where.file_name(),
                                where.line(), text.data()));
}

MpiRequests::~MpiRequests() {
  for (std::size_t i = 0; i < requests_.size(); ++i) {
    if (requests_[i] == MPI_REQUEST_NULL) continue;
    // A send is only let go: it may have left, and MPI cannot take it back.
    if (expected_bytes_[i] >= 0) MPI_Cancel(&requests_[i]);
    MPI_Request_free(&requests_[i]);
  }
}

// An empty message is one empty part: the peer waits for it.
void MpiRequests::send(const std::byte* data, std::size_t size_bytes, int to, int tag) {
  do {
    const std::size_t part = std::min(size_bytes, kPartBytes);
    requests_.emplace_back(MPI_REQUEST_NULL);
    expected_bytes_.push_back(-1);
    RETINUE_MPI_CHECK(
        MPI_Isend(data, static_cast<int>(part), MPI_BYTE, to, tag, comm_, &requests_.back()));
    data += part;
    size_bytes -= part;
  } while (size_bytes > 0);
}

void MpiRequests::recv(std::byte* data, std::size_t size_bytes, int from, int tag) {
  do {
    const std::size_t part = std::min(size_bytes, kPartBytes);
    requests_.emplace_back(MPI_REQUEST_NULL);
    expected_bytes_.push_back(static_cast<int>(part));
    RETINUE_MPI_CHECK(
        MPI_Irecv(data, static_cast<int>(part), MPI_BYTE, from, tag, comm_, &requests_.back()));
    data += part;
    size_bytes -= part;
  } while (size_bytes > 0);
}

void MpiRequests::wait(Poll poll) {
  statuses_.resize(requests_.size());
  for (;;) {
    int done = 0;
    const int code =
        MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, statuses_.data());
    // The errors are in the statuses then; PENDING marks a request that has not failed.
    if (code == MPI_ERR_IN_STATUS) {
      for (const MPI_Status& status : statuses_) {
        if (status.MPI_ERROR == MPI_ERR_TRUNCATE)
          throw BugError(fmt::format("[mpi] rank {} sent more bytes than this rank expects",
                                     status.MPI_SOURCE));
        if (status.MPI_ERROR != MPI_ERR_PENDING) mpi_check(status.MPI_ERROR, "MPI_Testall");
      }
    }
    mpi_check(code, "MPI_Testall");
    if (done != 0) break;
    poll.pause();
  }
  for (std::size_t i = 0; i < statuses_.size(); ++i) {
    if (expected_bytes_[i] < 0) continue;
    int got = 0;
    RETINUE_MPI_CHECK(MPI_Get_count(&statuses_[i], MPI_BYTE, &got));
    if (got != expected_bytes_[i])
      throw BugError(fmt::format("[mpi] rank {} sent {} bytes, this rank expects {}",
                                 statuses_[i].MPI_SOURCE, got, expected_bytes_[i]));
  }
  requests_.clear();
  expected_bytes_.clear();
}

}  // namespace retinue::detail
