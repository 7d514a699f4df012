// The only file that uses oneDNN, 2.x and 3.x; a build without oneDNN has no peer.
#include "tests/bench/onednn_peer.h"

#if defined(RETINUE_BENCH_ONEDNN)
#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>

#include <cstring>
#include <memory>
#include <vector>

namespace retinue::bench {

namespace {

struct Product {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  dnnl::matmul primitive;
  dnnl::memory x, w, y;

  Product(std::int64_t m, std::int64_t n, std::int64_t k) {
    using Memory = dnnl::memory;
    const auto bf16 = Memory::data_type::bf16;
    const Memory::desc x_desc({m, k}, bf16, Memory::format_tag::ab);
    const Memory::desc w_desc({k, n}, bf16, Memory::format_tag::any);
    const Memory::desc y_desc({m, n}, bf16, Memory::format_tag::ab);
#if DNNL_VERSION_MAJOR >= 3
    const dnnl::matmul::primitive_desc desc(engine, x_desc, w_desc, y_desc);
#else
    const dnnl::matmul::primitive_desc desc(dnnl::matmul::desc(x_desc, w_desc, y_desc), engine);
#endif
    primitive = dnnl::matmul(desc);
    x = Memory(desc.src_desc(), engine);
    w = Memory(desc.weights_desc(), engine);
    y = Memory(desc.dst_desc(), engine);
    for (const Memory& memory : {x, w}) {
      auto* data = static_cast<std::uint16_t*>(memory.get_data_handle());
      // Values between 0.5 and 2 with varied low bits.
      for (std::size_t i = 0; i < memory.get_desc().get_size() / 2; ++i)
        data[i] = static_cast<std::uint16_t>(0x3F00U + (i * 2654435761U >> 24));
    }
  }
};

}  // namespace

std::string onednn_version() {
  const dnnl_version_t* v = dnnl_version();
  return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
}

std::function<void()> onednn_matmul(std::int64_t m, std::int64_t n, std::int64_t k, int threads) {
  omp_set_num_threads(threads);
  std::shared_ptr<Product> product;
  try {
    product = std::make_shared<Product>(m, n, k);
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented) return {};
    throw;
  }
  return [product, threads] {
    omp_set_num_threads(threads);
    product->primitive.execute(
        product->stream,
        {{DNNL_ARG_SRC, product->x}, {DNNL_ARG_WEIGHTS, product->w}, {DNNL_ARG_DST, product->y}});
    product->stream.wait();
  };
}

}  // namespace retinue::bench
#else
namespace retinue::bench {
std::string onednn_version() { return {}; }
std::function<void()> onednn_matmul(std::int64_t, std::int64_t, std::int64_t, int) { return {}; }
}  // namespace retinue::bench
#endif
