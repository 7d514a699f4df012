#include "layers/modules/linear.h"

namespace retinue::layers {

Linear::Linear(WeightStore& store, const std::string& prefix, const Shape& shape)
    : weight_(
          store.matrix({{prefix + ".weight", shape, 0, shape[0]}}, 0, shape.numel() / shape[0])),
      bias_(store.vector(prefix + ".bias", shape[0])) {
  store.will_multiply({weight_, true, store.dtype()});
}

}  // namespace retinue::layers
