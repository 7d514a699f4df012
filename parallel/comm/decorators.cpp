#include "parallel/comm/decorators.h"

#include "parallel/base/cpu_time.h"
#include "parallel/comm/collective_args.h"
#include "parallel/comm/relayed.h"

#include <numeric>

namespace retinue {
namespace {

class Metered final : public Relayed {
 public:
  Metered(Communicator& inner, const Clock& clock, std::vector<CollectiveCall>& calls,
          std::size_t most)
      : Relayed(inner), clock_(clock), calls_(calls), most_(most) {}

  void all_reduce(const Stream& stream, TensorView x) override {
    note(x.size_bytes(), [&] { inner_.all_reduce(stream, x); });
  }
  void all_gather(const Stream& stream, ConstTensorView send, TensorView recv,
                  std::span<const std::int64_t> rows_per_rank) override {
    note(send.size_bytes(), [&] { inner_.all_gather(stream, send, recv, rows_per_rank); });
  }

 private:
  template <class Call>
  void note(std::size_t bytes, Call&& call) {
    const double cpu = thread_cpu_s(), begin = clock_.now_s();
    call();
    if (calls_.size() < most_)
      calls_.push_back(
          {static_cast<std::int64_t>(bytes), clock_.now_s() - begin, thread_cpu_s() - cpu});
  }

  const Clock& clock_;
  std::vector<CollectiveCall>& calls_;
  std::size_t most_;
};

class WithoutWire final : public Relayed {
 public:
  using Relayed::Relayed;

  void all_reduce(const Stream& stream, TensorView x) override {
    detail::check_all_reduce(*this, stream, stream.device().type, x);
  }
  void all_gather(const Stream& stream, ConstTensorView send, TensorView recv,
                  std::span<const std::int64_t> rows_per_rank) override {
    detail::check_gather(*this, stream, stream.device().type, send, recv, rows_per_rank, true);
    const auto mine = static_cast<std::size_t>(rank());
    const std::int64_t before =
        std::accumulate(rows_per_rank.begin(),
                        rows_per_rank.begin() + static_cast<std::ptrdiff_t>(mine), std::int64_t{0});
    const std::size_t row = detail::row_bytes(recv), begin = static_cast<std::size_t>(before) * row;
    const std::size_t end = begin + send.size_bytes();
    if (recv.bytes() + begin != send.bytes())
      stream.copy(recv.bytes() + begin, send.bytes(), send.size_bytes());
    if (begin > 0) stream.zero(recv.bytes(), begin);
    if (end < recv.size_bytes()) stream.zero(recv.bytes() + end, recv.size_bytes() - end);
  }
};

}  // namespace

std::unique_ptr<Communicator> metered(Communicator& inner, const Clock& clock,
                                      std::vector<CollectiveCall>& calls, std::size_t most) {
  return std::make_unique<Metered>(inner, clock, calls, most);
}

std::unique_ptr<Communicator> without_wire(Communicator& inner) {
  return std::make_unique<WithoutWire>(inner);
}

}  // namespace retinue
