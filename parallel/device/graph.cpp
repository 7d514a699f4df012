#include "parallel/device/graph.h"

#include "parallel/base/build_config.h"
#include "parallel/device/cuda/runtime.h"

#include <algorithm>

namespace retinue {

void GraphCache::run(const Stream& stream, std::uint64_t key, const std::function<void()>& work) {
  if constexpr (build::kCuda) {
    if (stream.native() != nullptr) {
      const auto [at, first] = entries_.try_emplace(key);
      Entry& entry = at->second;
      entry.last_used = ++clock_;
      if (!first) {
        if (!entry.graph) {
          entry.graph = cuda::capture(stream.native(), work);
          ++recorded_;
        } else {
          ++replayed_;
        }
        return cuda::launch(entry.graph.get(), stream.native());
      }
      if (entries_.size() > capacity_)
        entries_.erase(std::ranges::min_element(
            entries_, {}, [](const auto& item) { return item.second.last_used; }));
    }
  }
  work();
}

}  // namespace retinue
