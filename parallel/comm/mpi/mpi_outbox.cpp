#include "parallel/comm/mpi/mpi_outbox.h"

#include "parallel/comm/mpi/mpi_session.h"

namespace retinue::detail {

MpiOutbox::~MpiOutbox() {
  drop_sent();
  for (Message& message : messages_) MPI_Request_free(&message.request);
  static std::list<Message>& kept = *new std::list<Message>;
  kept.splice(kept.end(), messages_);
}

void MpiOutbox::post(std::span<const std::byte> bytes, int to, int tag) {
  drop_sent();
  Message& message = messages_.emplace_back();
  message.bytes.assign(bytes.begin(), bytes.end());
  RETINUE_MPI_CHECK(MPI_Isend(message.bytes.data(), static_cast<int>(message.bytes.size()),
                              MPI_BYTE, to, tag, comm_, &message.request));
}

void MpiOutbox::drop_sent() {
  std::erase_if(messages_, [](Message& message) {
    int sent = 0;
    MPI_Test(&message.request, &sent, MPI_STATUS_IGNORE);
    return sent != 0;
  });
}

}  // namespace retinue::detail
