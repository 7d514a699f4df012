// The scheduler on a model made of hashes: a token leaves in its slot a hash of all that it saw, so
// that a block, a feature or a row that is read in the wrong place shows at once.
#include "runtime/engine/scheduler.h"

#include "parallel/base/rng.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <set>

namespace retinue::runtime {
namespace {

layers::ModelConfig config() {
  layers::ModelConfig config;
  config.image_token_id = 1000, config.video_token_id = 1001;
  config.vision_start_token_id = 1002, config.vision_end_token_id = 1003;
  config.vision.spatial_merge_size = 2;
  config.vision.hidden_size = 64, config.vision.intermediate_size = 128;
  return config;
}

/// Numbers from a seed, in order.
class Random {
 public:
  explicit Random(std::uint64_t seed) : key_(mix64(seed + 1)) {}
  /// In [low, high].
  std::int64_t in(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random_bits(key_, count_++) %
                                           static_cast<std::uint64_t>(high - low + 1));
  }
  bool one_in(std::int64_t n) { return in(1, n) == 1; }

 private:
  std::uint64_t key_, count_ = 0;
};

constexpr std::uint64_t join(std::uint64_t hash, std::uint64_t value) {
  return mix64(hash ^ mix64(value + 0x9E3779B97F4A7C15ULL));
}

/// What a token leaves in its slot: a hash of it and of all tokens before it.
std::uint64_t state_after(std::uint64_t before, std::int32_t id, const std::int32_t* place,
                          std::uint64_t pixel) {
  std::uint64_t hash = join(before, static_cast<std::uint32_t>(id));
  for (int axis = 0; axis < 3; ++axis) hash = join(hash, static_cast<std::uint32_t>(place[axis]));
  return join(hash, pixel);
}
/// The token that follows; 0 ends a request.
std::int32_t next_token(std::uint64_t state) {
  return static_cast<std::int32_t>(mix64(state) % 40);
}
/// Row `row` of the features of this content.
std::uint64_t pixel_of(const ContentKey& content, std::int64_t row) {
  return join(join(content[0], content[1]), static_cast<std::uint64_t>(row) + 1);
}

struct World {
  EngineLimits limits;
  EngineOptions options;
  int ranks = 1;
  std::vector<Request> requests;
  std::map<std::uint64_t, ContentKey> content_of_key;  ///< also where a request does not name it
};

World random_world(std::uint64_t seed) {
  Random random(seed);
  World world;
  world.ranks = static_cast<int>(std::int64_t{1} << random.in(0, 2));
  EngineLimits& limits = world.limits;
  limits.kv_block_tokens = 16;
  limits.max_batch_tokens = random.in(8, 90);
  limits.max_sequences = random.in(1, 12);
  limits.max_batch_tokens = std::max(limits.max_batch_tokens, limits.max_sequences);
  limits.max_logit_rows = limits.max_sequences;
  limits.max_item_patches = limits.encode_patches = 96;
  limits.feature_rows = random.in(48, 150);
  const std::int64_t longest = 240;
  limits.kv_blocks = longest / 16 + random.in(0, 40);
  limits.max_sequence_tokens = longest;
  world.options.share = !random.one_in(3);
  world.options.longest_first = random.one_in(2);
  world.options.preempt_every = random.one_in(3) ? random.in(2, 9) : 0;
  world.options.check_accounts = true;
  world.options.plan_ahead = random.one_in(2);
  world.options.encode_beside = random.one_in(2);
  const std::int64_t count = random.in(3, 40);
  for (std::int64_t i = 0; i < count; ++i) {
    Request request;
    request.id = static_cast<std::uint64_t>(i);
    const auto text = [&](std::int64_t tokens, std::uint64_t which) {
      for (std::int64_t k = 0; k < tokens; ++k)
        request.ids.push_back(
            static_cast<std::int32_t>(mix64(which * 1000 + static_cast<std::uint64_t>(k)) % 900));
    };
    text(random.in(0, 50), static_cast<std::uint64_t>(random.in(0, 2)));  // often the same
    const std::int64_t images = random.in(0, 2);
    for (std::int64_t k = 0; k < images; ++k) {
      RequestImage image;
      image.key = static_cast<std::uint64_t>(i * 10 + k);
      image.grid = {1, 2 * random.in(1, 4), 2 * random.in(1, 6)};
      const ContentKey content = {static_cast<std::uint64_t>(random.in(1, 6)),
                                  static_cast<std::uint64_t>(image.grid.patches())};
      world.content_of_key[image.key] = content;
      if (!random.one_in(3)) image.content = content;
      request.ids.push_back(1002);
      request.ids.insert(request.ids.end(), static_cast<std::size_t>(image.grid.patches() / 4),
                         1000);
      request.ids.push_back(1003);
      request.images.push_back(image);
    }
    text(random.in(1, 20), static_cast<std::uint64_t>(100 + i));
    request.max_new_tokens = random.in(1, 60);
    if (random.one_in(2)) request.expected_new_tokens = random.in(1, request.max_new_tokens);
    world.requests.push_back(std::move(request));
  }
  if (random.one_in(2)) limits.even = {random.in(1, 60), random.in(1, 16)};
  return world;
}

/// Tokens of a request that has the model for itself.
std::vector<std::int32_t> alone(const World& world, const Request& request) {
  std::vector<layers::GridThw> grids;
  for (const RequestImage& image : request.images) grids.push_back(image.grid);
  const auto positions = layers::prompt_positions(config(), request.ids, grids);
  const std::size_t tokens = request.ids.size();
  std::uint64_t state = 0;
  std::size_t image = 0;
  std::int64_t row = 0;
  for (std::size_t at = 0; at < tokens; ++at) {
    const std::int32_t place[3] = {positions.values[at], positions.values[tokens + at],
                                   positions.values[2 * tokens + at]};
    std::uint64_t pixel = 0;
    if (request.ids[at] == 1000) {
      if (row == request.images[image].grid.patches() / 4) ++image, row = 0;
      pixel = pixel_of(world.content_of_key.at(request.images[image].key), row++);
    }
    state = state_after(state, request.ids[at], place, pixel);
  }
  std::vector<std::int32_t> output;
  while (static_cast<std::int64_t>(output.size()) < request.max_new_tokens) {
    const std::int32_t token = next_token(state);
    if (token == 0) break;
    output.push_back(token);
    const std::int32_t at = positions.next + static_cast<std::int32_t>(output.size()) - 1;
    const std::int32_t place[3] = {at, at, at};
    state = state_after(state, token, place, 0);
  }
  return output;
}

/// Runs a world's requests through the scheduler and checks every plan.
class Machine {
 public:
  Machine(const World& world, std::uint64_t seed)
      : world_(world),
        random_(seed),
        scheduler_(config(), world.limits, world.options, world.ranks),
        memory_(static_cast<std::size_t>(world.limits.kv_blocks * world.limits.kv_block_tokens)),
        features_(static_cast<std::size_t>(world.limits.feature_rows)) {}

  std::map<std::uint64_t, std::vector<std::int32_t>> run() {
    std::size_t submitted = 0;
    for (int steps = 0; submitted < world_.requests.size() || scheduler_.live() > 0; ++steps) {
      EXPECT_LT(steps, 20000) << "requests starve: " << what_lives();
      if (steps >= 20000 || testing::Test::HasFailure()) break;
      while (submitted < world_.requests.size() && !random_.one_in(3)) {
        const Request& request = world_.requests[submitted++];
        const auto refused = scheduler_.reason_to_refuse(request);
        EXPECT_FALSE(refused) << refused->message;
        scheduler_.add(request, 0);
      }
      bring_pixels();
      while (!encoding_.empty() && random_.one_in(3)) write_features();
      scheduler_.encodes_passed(encodes_passed_);
      if (!world_.options.plan_ahead.value_or(false)) {
        scheduler_.plan(plan_, rows_);
        execute();
        sample(rows_, nullptr);
        continue;
      }
      // The next plan is made before this one's tokens are known.
      std::swap(rows_, rows_before_);
      scheduler_.plan(next_, rows_);
      execute();
      sample(rows_before_, &next_);
      std::swap(plan_, next_);
    }
    scheduler_.check_accounts();
    return std::move(outputs_);
  }
  [[nodiscard]] const SchedulerStats& stats() const { return scheduler_.stats(); }

 private:
  /// For messages.
  [[nodiscard]] std::string what_lives() const {
    std::string text;
    for (const Sequence* s : scheduler_.all()) {
      text += fmt::format("\n request {}: {} of {} tokens cached, {} blocks", s->completion.id,
                          s->cached, s->tokens(), s->blocks.size());
      for (const Sequence::Image& image : s->images)
        if (image.feature != nullptr)
          text += fmt::format(", image {} in state {}, {} users, assigned {}, rows {}",
                              image.input.key, static_cast<int>(image.feature->state),
                              image.feature->users, image.feature->assigned, image.visual_tokens);
    }
    return text;
  }

  void bring_pixels() {
    for (auto at = awaited_.begin(); at != awaited_.end();) {
      if (random_.one_in(3)) {
        ++at;
        continue;
      }
      const auto [key, owner] = *at;
      at = awaited_.erase(at);
      pixels_[key] = owner;
      EXPECT_EQ(scheduler_.pixels_arrived(key, grid_of(key)), nullptr);
    }
  }
  layers::GridThw grid_of(std::uint64_t key) {
    return world_.requests[static_cast<std::size_t>(key / 10)].images[key % 10].grid;
  }

  void execute() {
    const EngineLimits& limits = world_.limits;
    for (const OwnedImage& image : plan_.prefetch) {
      ASSERT_LT(image.owner, world_.ranks);
      ASSERT_TRUE(awaited_.emplace(image.key, image.owner).second) << "asked for twice at once";
    }
    for (const std::uint64_t key : plan_.drop) ASSERT_EQ(pixels_.erase(key), 1U);
    while (encodes_passed_ < plan_.joined_encodes) write_features();
    std::map<std::int32_t, std::int64_t> patches;
    for (const ImageToEncode& image : plan_.encode) {
      ASSERT_TRUE(pixels_.contains(image.key)) << "encoded without pixels";
      ASSERT_EQ(pixels_[image.key], image.owner);
      pixels_.erase(image.key);
      patches[image.owner] += image.grid.patches();
      const std::int64_t rows = image.grid.patches() / 4;
      ASSERT_LE(image.first_row + rows, limits.feature_rows);
    }
    if (!plan_.encode.empty()) {
      encoding_.push_back(plan_.encode);
      ASSERT_LE(encoding_.size(), static_cast<std::size_t>(Scheduler::kEncodesBeside));
      if (!*world_.options.encode_beside) write_features();
    }
    for (const auto& [owner, sum] : patches) ASSERT_LE(sum, limits.encode_patches);
    decode();
  }

  /// Encodes the oldest batch that the device has been given.
  void write_features() {
    ++encodes_passed_;
    for (const ImageToEncode& image : encoding_.front())
      for (std::int64_t row = 0; row < image.grid.patches() / 4; ++row)
        features_[static_cast<std::size_t>(image.first_row + row)] =
            pixel_of(world_.content_of_key.at(image.key), row);
    encoding_.pop_front();
  }

  void decode() {
    const EngineLimits& limits = world_.limits;
    const std::size_t tokens = plan_.ids.size();
    ASSERT_LE(static_cast<std::int64_t>(tokens), limits.max_batch_tokens);
    ASSERT_LE(static_cast<std::int64_t>(plan_.seq_lens.size()), limits.max_sequences);
    ASSERT_LE(static_cast<std::int64_t>(plan_.logit_rows.size()), limits.max_logit_rows);
    std::map<std::int32_t, std::uint64_t> pixel_of_row;
    for (std::size_t i = 0; i < plan_.visual_rows.size(); ++i)
      pixel_of_row[plan_.visual_rows[i]] =
          features_[static_cast<std::size_t>(plan_.visual_sources[i])];
    std::set<std::int32_t> written;
    std::vector<std::uint64_t> state_of_row(tokens);
    for (std::size_t seq = 0; seq < plan_.seq_lens.size(); ++seq) {
      const std::int32_t begin = plan_.cu_seqlens[seq], end = plan_.cu_seqlens[seq + 1];
      const std::int32_t length = plan_.seq_lens[seq];
      for (std::int32_t row = begin; row < end; ++row) {
        const std::int32_t position = length - (end - row);
        const auto at = static_cast<std::size_t>(row);
        const std::int32_t slot = slot_of(seq, position);
        ASSERT_EQ(plan_.slot_mapping[at], slot);
        ASSERT_TRUE(written.insert(slot).second) << "two tokens in one slot";
        const std::uint64_t before =
            position == 0 ? 0 : memory_[static_cast<std::size_t>(slot_of(seq, position - 1))];
        const std::int32_t place[3] = {plan_.positions[at], plan_.positions[tokens + at],
                                       plan_.positions[2 * tokens + at]};
        state_of_row[at] = memory_[static_cast<std::size_t>(slot)] =
            state_after(before, plan_.ids[at], place, pixel_of_row[row]);
      }
    }
    states_.clear();
    for (const std::int32_t row : plan_.logit_rows)
      states_.push_back(state_of_row[static_cast<std::size_t>(row)]);
  }
  [[nodiscard]] std::int32_t slot_of(std::size_t seq, std::int32_t position) const {
    const auto block = static_cast<std::int32_t>(world_.limits.kv_block_tokens);
    const auto entry = seq * static_cast<std::size_t>(plan_.max_blocks) +
                       static_cast<std::size_t>(position / block);
    return plan_.block_table[entry] * block + position % block;
  }

  /// Samples for the plan that was executed, and fills in the tokens that the plan ahead awaits.
  void sample(PlanRows& rows, StepPlan* ahead) {
    ASSERT_EQ(rows.argmax.size(), states_.size());
    for (std::size_t i = 0; i < rows.argmax.size(); ++i)
      if (rows.argmax[i].sequence != nullptr) sample(rows.argmax[i], states_[i]);
    if (ahead != nullptr) rows_.fill(*ahead);
  }
  void sample(const LogitRow& row, std::uint64_t state) {
    Sequence* s = row.sequence;
    --s->awaited;
    scheduler_.publish(row);
    const std::int32_t token = next_token(state);
    std::vector<std::int32_t>& ids = s->completion.ids;
    if (token != 0) ids.push_back(token);
    if (token != 0 && static_cast<std::int64_t>(ids.size()) < s->request.max_new_tokens) return;
    rows_.forget(s), rows_before_.forget(s);
    const auto done = scheduler_.remove(s);
    ASSERT_TRUE(outputs_.emplace(done->completion.id, done->completion.ids).second);
  }

  const World& world_;
  Random random_;
  Scheduler scheduler_;
  std::vector<std::uint64_t> memory_, features_;
  std::map<std::uint64_t, int> awaited_, pixels_;
  std::deque<std::vector<ImageToEncode>> encoding_;
  std::int64_t encodes_passed_ = 0;
  StepPlan plan_, next_;
  std::vector<std::uint64_t> states_;  ///< of the logit rows
  PlanRows rows_, rows_before_;
  std::map<std::uint64_t, std::vector<std::int32_t>> outputs_;
};

TEST(Scheduler, EveryRequestEndsAsIfItWereAloneWhateverTheSchedule) {
  SchedulerStats all;
  for (std::uint64_t seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE(seed);
    const World world = random_world(seed);
    Machine machine(world, seed);
    const auto outputs = machine.run();
    if (HasFailure()) return;
    ASSERT_EQ(outputs.size(), world.requests.size());
    for (const Request& request : world.requests)
      ASSERT_EQ(outputs.at(request.id), alone(world, request)) << "request " << request.id;
    all.preempted += machine.stats().preempted, all.reused_tokens += machine.stats().reused_tokens;
    all.encodes += machine.stats().encodes, all.awaited_encodes += machine.stats().awaited_encodes;
  }
  // The schedules cover what they are meant to cover.
  EXPECT_GT(all.preempted, 1000);
  EXPECT_GT(all.reused_tokens, 10000);
  EXPECT_GT(all.awaited_encodes, 200);
  EXPECT_GT(all.encodes, 2 * all.awaited_encodes) << "most run beside others";
}

}  // namespace
}  // namespace retinue::runtime
