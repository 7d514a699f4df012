#include "tests/support/engine_tasks.h"

#include "parallel/base/rng.h"

namespace retinue::test {

Random::Random(std::uint64_t seed) : key_(mix64(seed + 1)) {}

std::int64_t Random::in(std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(random_bits(key_, count_++) %
                                         static_cast<std::uint64_t>(high - low + 1));
}

layers::Patches random_image(const layers::ModelConfig& config, std::uint64_t seed,
                             std::int64_t which, const TaskShape& shape) {
  const std::uint64_t key = mix64(seed ^ mix64(static_cast<std::uint64_t>(which) + 77));
  const std::int64_t merge = config.vision.spatial_merge_size;
  layers::Patches image;
  // Two and two have the same size.
  Random sizes(mix64(seed) + static_cast<std::uint64_t>(which / 2));
  const std::int64_t most = shape.image_side / merge, least = (most + 1) / 2;
  image.grid_thw = {1, merge * sizes.in(least, most), merge * most};
  image.pixels.resize(
      static_cast<std::size_t>(image.grid_thw.patches() * config.vision.patch_width()));
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<std::uint8_t>(random_bits(key, i) %
                                                static_cast<std::uint64_t>(shape.pixel_bytes));
  return image;
}

EngineTask random_task(const layers::ModelConfig& config, std::uint64_t seed, std::int64_t number,
                       const TaskShape& shape) {
  Random random(mix64(seed) + static_cast<std::uint64_t>(number));
  EngineTask task;
  runtime::Request& request = task.request;
  const auto text = [&](std::int64_t tokens, std::uint64_t which) {
    for (std::int64_t k = 0; k < tokens; ++k)
      request.ids.push_back(static_cast<std::int32_t>(
          random_bits(mix64(seed ^ which), static_cast<std::uint64_t>(k)) %
          static_cast<std::uint64_t>(shape.ids)));
  };
  if (shape.prefix_tokens > 0)
    text(random.one_in(3) ? random.in(0, shape.prefix_tokens) : shape.prefix_tokens,
         1 + static_cast<std::uint64_t>(random.in(0, shape.prefixes - 1)));
  for (std::int64_t k = random.in(0, shape.images); k > 0; --k) {
    const std::int64_t which = random.in(0, shape.distinct_images - 1);
    layers::Patches image = random_image(config, seed, which, shape);
    const std::int64_t visual = image.grid_thw.patches() / config.vision.merge_unit();
    request.ids.push_back(static_cast<std::int32_t>(config.vision_start_token_id));
    request.ids.insert(request.ids.end(), static_cast<std::size_t>(visual),
                       static_cast<std::int32_t>(config.image_token_id));
    request.ids.push_back(static_cast<std::int32_t>(config.vision_end_token_id));
    runtime::RequestImage input{.key = 0, .grid = image.grid_thw};
    // Some images come without a content key.
    if (!random.one_in(4)) input.content = {seed + 1, static_cast<std::uint64_t>(which) + 1};
    request.images.push_back(input);
    task.pixels.push_back(std::move(image));
  }
  text(random.in(1, shape.text_tokens), 1000 + static_cast<std::uint64_t>(number));
  request.max_new_tokens = random.in(1, shape.new_tokens);
  request.sampling_stream = static_cast<std::uint64_t>(number) * 7919;
  if (random.one_in(2)) {
    request.sampling.temperature = 0.8, request.sampling.top_p = 0.9;
    request.sampling.repetition_penalty = 1.1, request.sampling.seed = seed;
  }
  // Too few at times, so that blocks run out.
  if (random.one_in(2)) request.expected_new_tokens = random.in(1, request.max_new_tokens);
  request.hash_logits = true;
  return task;
}

runtime::EngineSizing sizing_for(const TaskShape& shape) {
  runtime::EngineSizing sizing;
  sizing.max_image_patches = shape.image_side * shape.image_side;
  sizing.max_items = std::max<std::int64_t>(1, shape.images);
  sizing.max_text_tokens = shape.prefix_tokens + shape.text_tokens + 2 * shape.images;
  sizing.max_new_tokens = shape.new_tokens;
  return sizing;
}

}  // namespace retinue::test
