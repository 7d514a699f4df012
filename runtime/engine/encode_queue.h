#pragma once

#include "layers/spec/inputs.h"
#include "runtime/engine/step.h"

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace retinue::runtime {

/// Predicted cost of encoding: patches · (patches + α) per temporal slice, summed, since slices do
/// not attend to each other. At α patches attention costs as much as the matrices: α is the FLOPs
/// per patch of a layer's matrices over those of one attended key.
double encode_cost(const layers::GridThw& grid, double alpha);

/// Assigns images to the ranks of a replica: the costliest first, each to the rank with the least
/// outstanding cost (Graham 1969), so that one large image does not hold up its replica.
class EncodeQueue {
 public:
  EncodeQueue(int ranks, double alpha) : load_(static_cast<std::size_t>(ranks)), alpha_(alpha) {}

  struct Image {
    std::uint64_t key = 0;
    layers::GridThw grid;
  };
  /// Owners of new images; ties go to the earlier image and the lower rank.
  std::vector<OwnedImage> assign(std::span<const Image> images);
  [[nodiscard]] int owner(std::uint64_t key) const { return assigned_.at(key).owner; }
  /// The image is encoded or dropped: its cost is no longer outstanding.
  void done(std::uint64_t key);

 private:
  struct Assigned {
    int owner;
    double cost;
  };
  std::vector<double> load_;
  std::map<std::uint64_t, Assigned> assigned_;
  double alpha_;
};

}  // namespace retinue::runtime
