#include "tests/support/device_side.h"

#include "parallel/device/memory.h"

#include <utility>

namespace retinue::test {
namespace {

/// The device's copy of a host view, with the same shape and strides.
class Mirror {
 public:
  Mirror(const Stream& stream, MemoryLedger& ledger, ConstTensorView host)
      : stream_(stream), host_(host) {
    const std::int64_t rows = host.shape()[0];
    if (host.numel() > 0)
      size_bytes_ = (static_cast<std::size_t>(rows - 1) *
                         static_cast<std::size_t>(host.row_stride()) * size_bytes(host.dtype()) +
                     host.size_bytes() / static_cast<std::size_t>(rows));
    buffer_ = Buffer(ledger, stream.device(), size_bytes_ + 1, MemoryTag::kScratch);
    stream.copy(buffer_.data(), host.bytes(), size_bytes_);
  }

  [[nodiscard]] TensorView view() const { return at(host_); }
  /// The device address of `part`, a part of the host view.
  [[nodiscard]] TensorView at(ConstTensorView part) const {
    return {buffer_.data() + (part.bytes() - host_.bytes()), part.dtype(), part.shape(),
            part.row_stride()};
  }
  [[nodiscard]] bool holds(ConstTensorView part) const {
    return part.bytes() >= host_.bytes() && part.bytes() < host_.bytes() + size_bytes_;
  }
  void download(std::byte* to) const {
    stream_.copy(to, buffer_.data(), size_bytes_);
    stream_.synchronize();
  }

 private:
  const Stream& stream_;
  ConstTensorView host_;
  std::size_t size_bytes_ = 0;
  Buffer buffer_;
};

class DeviceSide final : public Communicator {
 public:
  DeviceSide(std::unique_ptr<Communicator> inner, Device device)
      : Communicator(inner->rank(), inner->size(), inner->label()),
        inner_(std::move(inner)),
        device_(device),
        stream_(device) {}

  void all_reduce(const Stream& stream, TensorView x) override {
    const Mirror mirror(stream_, ledger_, x);
    inner_->all_reduce(mapped(stream), mirror.view());
    finish(mirror, x);
  }
  void all_gather(const Stream& stream, ConstTensorView send, TensorView recv,
                  std::span<const std::int64_t> rows_per_rank) override {
    const Mirror to(stream_, ledger_, recv), from(stream_, ledger_, send);
    inner_->all_gather(mapped(stream), to.holds(send) ? to.at(send) : from.view(), to.view(),
                       rows_per_rank);
    finish(to, recv);
  }
  void gather(const Stream& stream, ConstTensorView send, TensorView recv,
              std::span<const std::int64_t> rows_per_rank, int root) override {
    const Mirror to(stream_, ledger_, recv), from(stream_, ledger_, send);
    inner_->gather(mapped(stream), to.holds(send) ? to.at(send) : from.view(), to.view(),
                   rows_per_rank, root);
    finish(to, recv);
  }
  void broadcast(const Stream& stream, TensorView x, int root) override {
    const Mirror mirror(stream_, ledger_, x);
    inner_->broadcast(mapped(stream), mirror.view(), root);
    finish(mirror, x);
  }
  void send(const Stream& stream, ConstTensorView x, int to, int tag) override {
    const Mirror mirror(stream_, ledger_, x);
    inner_->send(mapped(stream), mirror.view(), to, tag);
    inner_->wait(stream_);
  }
  void recv(const Stream& stream, TensorView x, int from, int tag) override {
    const Mirror mirror(stream_, ledger_, x);
    inner_->recv(mapped(stream), mirror.view(), from, tag);
    finish(mirror, x);
  }
  void post(ConstTensorView x, int to, int tag) override { inner_->post(x, to, tag); }
  bool probe(int& from, int tag, std::int64_t& bytes) override {
    return inner_->probe(from, tag, bytes);
  }
  void barrier() override { inner_->barrier(); }
  void wait(const Stream&) override { inner_->wait(stream_); }
  std::unique_ptr<Communicator> split(int color, int key, std::string_view label) override {
    return on_device(inner_->split(color, key, label), device_);
  }
  void abort(std::string_view reason) override { inner_->abort(reason); }

 private:
  [[nodiscard]] const Stream& mapped(const Stream& stream) const {
    return stream.device().type == DeviceType::kCpu ? stream_ : host_stream_;
  }
  void finish(const Mirror& mirror, TensorView x) {
    inner_->wait(stream_);
    mirror.download(x.bytes());
  }

  std::unique_ptr<Communicator> inner_;
  Device device_;
  Stream stream_;
  Stream host_stream_{Device{}};
  MemoryLedger ledger_;
};

}  // namespace

std::unique_ptr<Communicator> on_device(std::unique_ptr<Communicator> inner, Device device) {
  return std::make_unique<DeviceSide>(std::move(inner), device);
}

}  // namespace retinue::test
