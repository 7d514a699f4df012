#include "runtime/jobs/stage_record.h"

#include <algorithm>
#include <utility>

namespace retinue::runtime {
namespace {

float element(ConstTensorView view, std::int64_t at) {
  return view.dtype() == DType::kF32 ? view.data<float>()[at] : to_float(view.data<BFloat16>()[at]);
}

/// A stage of the vision tower: its width, and the kind of its rows.
struct VisionStage {
  std::string name;
  std::int64_t width = 0;
  bool merged = false;  ///< rows are visual tokens, else patches
};

std::vector<VisionStage> vision_stages(const layers::VisionConfig& vision) {
  std::vector<VisionStage> stages = {{"vision.patch_embed", vision.hidden_size, false},
                                     {"vision.pos_embed", vision.hidden_size, false},
                                     {"vision.merger", vision.out_hidden_size, true}};
  for (std::int64_t i = 0; i < vision.depth; ++i)
    stages.push_back({"vision.block." + std::to_string(i), vision.hidden_size, false});
  for (std::int64_t k = 0; k < vision.taps(); ++k)
    stages.push_back({"vision.deepstack." + std::to_string(k), vision.out_hidden_size, true});
  return stages;
}

template <class T>
ConstTensorView const_view(const std::vector<T>& values, Shape shape) {
  return {reinterpret_cast<const std::byte*>(values.data()), dtype_of<T>(), shape};
}
template <class T>
TensorView view(std::vector<T>& values, Shape shape) {
  return {reinterpret_cast<std::byte*>(values.data()), dtype_of<T>(), shape};
}

}  // namespace

void StageRecord::add(std::string_view name, int index, ConstTensorView value) {
  Rows& rows =
      stages_[index < 0 ? std::string(name) : std::string(name) + "." + std::to_string(index)];
  rows.width = value.dim(1);
  std::int64_t count = value.dim(0);
  if (!name.starts_with("vision.")) count = std::min(count, prompt_tokens_ - rows.rows());
  for (std::int64_t r = 0; r < count; ++r)
    for (std::int64_t c = 0; c < rows.width; ++c)
      rows.values.push_back(element(value, r * value.row_stride() + c));
}

ConstTensorView to_host(const Stream& stream, ConstTensorView value, std::vector<std::byte>& copy) {
  if (stream.device().type == DeviceType::kCpu || value.numel() == 0) return value;
  const auto rows = static_cast<std::size_t>(value.dim(0));
  const std::size_t row_bytes = value.size_bytes() / rows;
  copy.resize(value.size_bytes());
  stream.copy_rows(copy.data(), row_bytes, value.bytes(),
                   static_cast<std::size_t>(value.row_stride()) * size_bytes(value.dtype()),
                   row_bytes, rows);
  stream.synchronize();
  return {copy.data(), value.dtype(), value.shape()};
}

std::map<std::string, StageRecord::Rows> gather_vision_stages(
    Communicator& tensor, const layers::VisionConfig& vision, const StageRecord& record,
    const std::vector<std::int64_t>& owned, const std::vector<layers::GridThw>& grids,
    const std::vector<std::size_t>& order) {
  const Stream stream{Device{}};
  const auto ranks = static_cast<std::size_t>(tensor.size());
  const auto items = static_cast<std::int64_t>(grids.size());
  std::map<std::string, StageRecord::Rows> whole;
  if (items == 0) return whole;
  std::vector<std::int64_t> owners(ranks * grids.size());
  tensor.all_gather(stream, const_view(owned, Shape{1, items}),
                    view(owners, Shape{tensor.size(), items}), std::vector<std::int64_t>(ranks, 1));

  for (const VisionStage& stage : vision_stages(vision)) {
    const std::int64_t divisor = stage.merged ? vision.merge_unit() : 1;
    // Each rank has its images in prompt order: find where each begins in the gathered rows.
    std::vector<std::int64_t> rows(ranks), first(grids.size());
    std::int64_t total = 0;
    for (std::size_t r = 0; r < ranks; ++r)
      for (std::size_t i = 0; i < grids.size(); ++i) {
        if (owners[r * grids.size() + i] == 0) continue;
        first[i] = total;
        rows[r] += grids[i].patches() / divisor;
        total += grids[i].patches() / divisor;
      }
    const auto found = record.stages().find(stage.name);
    static const std::vector<float> kNone;
    const std::vector<float>& mine = found == record.stages().end() ? kNone : found->second.values;
    const std::int64_t my_rows = rows[static_cast<std::size_t>(tensor.rank())];
    check(static_cast<std::int64_t>(mine.size()) == my_rows * stage.width,
          "a rank has the rows of the items that it encoded");
    const bool root = tensor.rank() == 0;
    std::vector<float> all(root ? static_cast<std::size_t>(total * stage.width) : 0);
    tensor.gather(stream, const_view(mine, Shape{my_rows, stage.width}),
                  view(all, Shape{root ? total : 0, stage.width}), rows, 0);
    if (!root) continue;
    StageRecord::Rows& target = whole[stage.name];
    target.width = stage.width;
    for (const std::size_t item : order) {
      const auto begin = all.begin() + first[item] * stage.width;
      target.values.insert(target.values.end(), begin,
                           begin + grids[item].patches() / divisor * stage.width);
    }
  }
  return whole;
}

}  // namespace retinue::runtime
