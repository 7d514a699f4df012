#pragma once

// Tested through tests/parallel/comm/decorators_test.cpp.

#include "parallel/comm/communicator.h"

namespace retinue {

/// Passes every call to `inner`, which outlives it. Subclasses change some of the calls.
class Relayed : public Communicator {
 public:
  explicit Relayed(Communicator& inner)
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
  void post(ConstTensorView x, int to, int tag) override { inner_.post(x, to, tag); }
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

}  // namespace retinue
