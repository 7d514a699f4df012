#include "parallel/comm/collective_args.h"

#include "parallel/base/check.h"

#include <fmt/format.h>

namespace retinue::detail {
namespace {

void check_view(const Communicator& comm, const char* what, const Stream& stream, DeviceType device,
                ConstTensorView x) {
  if (stream.device().type != device)
    throw BugError(
        fmt::format("[{}] {} was handed a stream of {}, which this transport does not "
                    "serve",
                    comm.label(), what, to_string(stream.device())));
  if (!x.is_contiguous())
    throw BugError(fmt::format("[{}] {} wants contiguous rows, got {} with a stride of {}",
                               comm.label(), what, x.shape().to_string(), x.row_stride()));
}

void check_peer(const Communicator& comm, const char* what, int peer) {
  if (peer < 0 || peer >= comm.size())
    throw BugError(fmt::format("[{}] {} names rank {} of a group of {}", comm.label(), what, peer,
                               comm.size()));
}

}  // namespace

void check_all_reduce(const Communicator& comm, const Stream& stream, DeviceType device,
                      ConstTensorView x) {
  check_view(comm, "all_reduce", stream, device, x);
  if (x.dtype() != DType::kF32)
    throw BugError(
        fmt::format("[{}] all_reduce sums f32 only, got {}", comm.label(), name(x.dtype())));
}

void check_broadcast(const Communicator& comm, const Stream& stream, DeviceType device,
                     ConstTensorView x, int root) {
  check_view(comm, "broadcast", stream, device, x);
  check_peer(comm, "broadcast", root);
}

void check_gather(const Communicator& comm, const Stream& stream, DeviceType device,
                  ConstTensorView send, ConstTensorView recv,
                  std::span<const std::int64_t> rows_per_rank, bool receives) {
  check_view(comm, "gather", stream, device, send);
  if (rows_per_rank.size() != static_cast<std::size_t>(comm.size()))
    throw BugError(fmt::format("[{}] gather has {} row counts for {} ranks", comm.label(),
                               rows_per_rank.size(), comm.size()));
  std::int64_t total = 0;
  for (const std::int64_t rows : rows_per_rank) {
    check(rows >= 0, "a rank gathers a negative number of rows");
    total += rows;
  }
  const std::int64_t own = rows_per_rank[static_cast<std::size_t>(comm.rank())];
  if (send.dim(0) != own)
    throw BugError(fmt::format("[{}] gather: this rank gives {} rows, its count says {}",
                               comm.label(), send.dim(0), own));
  if (!receives) return;
  check_view(comm, "gather", stream, device, recv);
  if (recv.dim(0) != total || recv.dtype() != send.dtype() ||
      (own > 0 && row_bytes(send) != row_bytes(recv)))
    throw BugError(fmt::format("[{}] gather: {} {} does not fit into {} {} ({} rows in all)",
                               comm.label(), name(send.dtype()), send.shape().to_string(),
                               name(recv.dtype()), recv.shape().to_string(), total));
}

void check_message(const Communicator& comm, const Stream& stream, DeviceType device,
                   ConstTensorView x, int peer, int tag) {
  check_view(comm, "send or recv", stream, device, x);
  check_peer(comm, "send or recv", peer);
  check(tag >= 0 && tag < Communicator::kMaxTag, "a message tag is out of range");
}

std::size_t row_bytes(ConstTensorView x) {
  std::int64_t numel = 1;
  for (int i = 1; i < x.shape().rank(); ++i) numel *= x.dim(i);
  return static_cast<std::size_t>(numel) * size_bytes(x.dtype());
}

}  // namespace retinue::detail
