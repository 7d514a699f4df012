#include "parallel/comm/ablation.h"

#include "parallel/comm/collective_args.h"

#include <numeric>

namespace retinue {
namespace {

/// Passes every call on.
class Passing : public Communicator {
 public:
  explicit Passing(Communicator& inner)
      : Communicator(inner.rank(), inner.size(), inner.label()), inner_(inner) {}

  void all_reduce(const Stream& stream, TensorView x) override { inner_.all_reduce(stream, x); }
  void all_gather(const Stream& stream, ConstTensorView send, TensorView recv,
                  std::span<const std::int64_t> rows_per_rank) override {
    inner_.all_gather(stream, send, recv, rows_per_rank);
  }
  void gather(const Stream& stream, ConstTensorView send, TensorView recv,
              std::span<const std::int64_t> rows_per_rank, int root) override {
    inner_.gather(stream, send, recv, rows_per_rank, root);
  }
  void broadcast(const Stream& stream, TensorView x, int root) override {
    inner_.broadcast(stream, x, root);
  }
  void send(const Stream& stream, ConstTensorView x, int to, int tag) override {
    inner_.send(stream, x, to, tag);
  }
  void recv(const Stream& stream, TensorView x, int from, int tag) override {
    inner_.recv(stream, x, from, tag);
  }
  bool probe(int& from, int tag, std::int64_t& bytes) override {
    return inner_.probe(from, tag, bytes);
  }
  void barrier() override { inner_.barrier(); }
  void wait(const Stream& stream) override { inner_.wait(stream); }
  std::unique_ptr<Communicator> split(int color, int key, std::string_view label) override {
    return inner_.split(color, key, label);
  }
  void abort(std::string_view reason) override { inner_.abort(reason); }

 protected:
  Communicator& inner_;
};

class Metered final : public Passing {
 public:
  Metered(Communicator& inner, const Clock& clock, std::vector<CollectiveCall>& calls,
          std::size_t most)
      : Passing(inner), clock_(clock), calls_(calls), most_(most) {}

  void all_reduce(const Stream& stream, TensorView x) override {
    const double begin = clock_.now_s();
    inner_.all_reduce(stream, x);
    note(x.size_bytes(), begin);
  }
  void all_gather(const Stream& stream, ConstTensorView send, TensorView recv,
                  std::span<const std::int64_t> rows_per_rank) override {
    const double begin = clock_.now_s();
    inner_.all_gather(stream, send, recv, rows_per_rank);
    note(send.size_bytes(), begin);
  }

 private:
  void note(std::size_t bytes, double begin) {
    if (calls_.size() < most_)
      calls_.push_back({static_cast<std::int64_t>(bytes), clock_.now_s() - begin});
  }

  const Clock& clock_;
  std::vector<CollectiveCall>& calls_;
  std::size_t most_;
};

class WithoutWire final : public Passing {
 public:
  using Passing::Passing;

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
