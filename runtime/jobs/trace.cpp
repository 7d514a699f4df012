#include "layers/decoder/mrope.h"
#include "layers/weights/safetensors_stream.h"
#include "layers/weights/safetensors_writer.h"
#include "parallel/base/build_config.h"
#include "parallel/base/exit_code.h"
#include "parallel/base/hash.h"
#include "parallel/base/path_error.h"
#include "runtime/decode/prefetcher.h"
#include "runtime/jobs/job.h"
#include "runtime/jobs/job_messages.h"
#include "runtime/jobs/prepared_request.h"
#include "runtime/jobs/replica.h"
#include "runtime/jobs/stage_record.h"
#include "runtime/jobs/stop_signal.h"

#include <fmt/format.h>

#include <cstring>
#include <filesystem>

namespace retinue::runtime {
namespace {

using layers::SafetensorsWriter;

template <class T>
std::vector<std::int64_t> to_i64(const std::vector<T>& values) {
  return {values.begin(), values.end()};
}

/// Images and videos in the order of the reference's rows: it encodes images first, then videos.
std::vector<std::size_t> reference_order(const Item& item) {
  std::vector<std::size_t> order;
  for (const MediaKind kind : {MediaKind::kImage, MediaKind::kVideo})
    for (std::size_t i = 0; i < item.media.size(); ++i)
      if (item.media[i].kind == kind) order.push_back(i);
  return order;
}

void add_inputs(SafetensorsWriter& file, const Item& item, const PreparedRequest& prepared,
                const ModelFiles& model, IsolatedDecoder* isolated) {
  const auto tokens = static_cast<std::int64_t>(prepared.request.ids.size());
  file.add("input_ids", Shape{tokens}, to_i64(prepared.request.ids));
  std::vector<layers::GridThw> grids;
  for (const RequestImage& visual : prepared.request.images) grids.push_back(visual.grid);
  const auto positions = layers::prompt_positions(model.config, prepared.request.ids, grids);
  file.add("position_ids", Shape{3, tokens}, to_i64(positions.values));

  const std::vector<float> table = pixel_values(model.config.vision);
  const std::int64_t width = model.config.vision.patch_width();
  const std::size_t channel = static_cast<std::size_t>(width / model.config.vision.in_channels);
  for (const MediaKind kind : {MediaKind::kImage, MediaKind::kVideo}) {
    std::vector<float> values;
    std::vector<std::int64_t> grid_thw;
    for (std::size_t i = 0; i < item.media.size(); ++i) {
      if (item.media[i].kind != kind) continue;
      const auto patches =
          isolated != nullptr
              ? isolated->patches(item.media[i], *prepared.files[i])
              : read_patches(item.media[i], *prepared.files[i], model.processor, model.image);
      if (!patches.ok())
        throw UsageError(fmt::format("[{}] {}", patches.error().stage, patches.error().message));
      for (std::size_t at = 0; at < patches->pixels.size(); ++at)
        values.push_back(
            table[at % static_cast<std::size_t>(width) / channel * 256 + patches->pixels[at]]);
      for (const std::int64_t n : {grids[i].frames, grids[i].rows, grids[i].columns})
        grid_thw.push_back(n);
    }
    if (grid_thw.empty()) continue;
    const bool video = kind == MediaKind::kVideo;
    file.add(video ? "pixel_values_videos" : "pixel_values",
             Shape{static_cast<std::int64_t>(values.size()) / width, width}, values);
    file.add(video ? "video_grid_thw" : "image_grid_thw",
             Shape{static_cast<std::int64_t>(grid_thw.size()) / 3, 3}, grid_thw);
  }
}

std::vector<float> to_floats(std::span<const std::byte> bytes, DType dtype) {
  std::vector<float> values(bytes.size() / size_bytes(dtype));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF32) {
      std::memcpy(&values[i], bytes.data() + i * sizeof(float), sizeof(float));
    } else {
      BFloat16 value;
      std::memcpy(&value, bytes.data() + i * sizeof value, sizeof value);
      values[i] = to_float(value);
    }
  }
  return values;
}

void add_stages(SafetensorsWriter& file, const std::map<std::string, StageRecord::Rows>& stages,
                bool vision) {
  for (const auto& [name, stage] : stages)
    if (name.starts_with("vision.") == vision)
      file.add(name, Shape{stage.rows(), stage.width}, stage.values);
}

/// Rank 0: adds logits, output ids and metadata to the stages; writes the file, prints the digest.
void finish(SafetensorsWriter& file, const TraceOptions& options, const ModelFiles& model,
            const MeshShape& mesh, const Completion& completion) {
  const std::int64_t vocab = model.config.text.vocab_size;
  const std::string digest = sha256_hex(completion.prompt_logits);
  file.add("logits", Shape{completion.prompt_tokens, vocab},
           to_floats(completion.prompt_logits, model.computation.dtype));
  if (options.decode > 0)
    file.add("output_ids", Shape{static_cast<std::int64_t>(completion.ids.size())},
             to_i64(completion.ids));
  const layers::Numerics numerics = numerics_of(model);
  file.add_metadata("retinue_version", std::string(build::kVersion));
  file.add_metadata("retinue_revision", std::string(build::kRevision));
  file.add_metadata("compiler", std::string(build::kCompiler));
  file.add_metadata("numerics", numerics.description);
  file.add_metadata("fingerprint", numerics.fingerprint);
  file.add_metadata("dtype", std::string(name(model.computation.dtype)));
  file.add_metadata("projections_dtype",
                    std::string(name(model.config.fp8 ? DType::kF8E4M3 : model.computation.dtype)));
  file.add_metadata("kv_cache_dtype", std::string(name(model.computation.kept_dtype())));
  file.add_metadata("mesh", fmt::format("data={} tensor={}", mesh.data, mesh.tensor));
  file.add_metadata("model", model.identity);
  file.add_metadata("finish_reason", name(completion.finish_reason));
  file.add_metadata("logits_sha256", digest);
  file.write(options.output);
  fmt::print("logits_sha256 {}\n", digest);
  std::fflush(stdout);
}

/// The sizing of this one request. Logits of every token need the prompt in one step.
EngineSizing trace_sizing(const TraceOptions& options, const ModelFiles& model,
                          const ItemTable& items, const PreparedRequest& prepared) {
  EngineSizing sizing = sizing_for(options.ask.run, model, items.summary(), options.decode);
  fit_sizing(sizing, prepared);
  const auto tokens = static_cast<std::int64_t>(prepared.request.ids.size());
  sizing.max_logit_rows = tokens;
  sizing.max_batch_tokens = std::max(tokens, sizing.max_batch_tokens.value_or(tokens));
  return sizing;
}

/// Runs the request to its end; collective over the tensor axis.
///   returns  whether it succeeded, on every rank; `completion` is the leader's
bool run_request(Engine& engine, Request request, Communicator& tensor, Completion& completion) {
  request.prompt_logits = true;
  const bool is_leader = tensor.rank() == 0;
  if (is_leader) {
    if (const auto refused = engine.submit(std::move(request)))
      throw UsageError(fmt::format("[{}] {}", refused->stage, refused->message));
    engine.drain();
  }
  while (engine.step()) {
  }
  bool failed = false;
  if (is_leader) {
    auto completions = engine.poll();
    check(completions.size() == 1, "one request has one completion");
    completion = std::move(completions[0]);
    failed = completion.error.has_value();
  }
  broadcast_value(tensor, failed);
  return !failed;
}

/// An image whose header is whole may still fail to decode: its item fails, as in a caption job.
int end_failed(Communicator& world, const Completion& completion) {
  std::fprintf(stderr, "retinue: [%s] %s\n", completion.error->stage.c_str(),
               completion.error->message.c_str());
  announce_end(world, kExitItemsFailed);
  return kExitItemsFailed;
}

void check_output(const std::string& path) {
  if (path.empty()) throw UsageError("[--output] names no file");
  std::error_code error;
  const auto folder = std::filesystem::path(path).parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder, error))
    throw UsageError(fmt::format("[--output] {}: no such folder", folder.string()));
  (void)file_to_write(path, "[--output]");
  const layers::SafetensorsStream writable(path, {});  // refused now and not after the run
}

}  // namespace

int run_trace(const Session& session, const TraceOptions& options) {
  const StopSignal signal(session.world.rank() == 0);
  on_coordinator(session.world, [&] { check_output(options.output); });
  if (options.decode < 0) throw UsageError("[--decode] wants a number of tokens, 0 for none");
  const ModelFiles model = load_model_files(options.ask.run);
  Sampling sampling = resolve_sampling(options.ask.sampling, model);
  sampling.max_new_tokens = options.decode;
  const Item item = item_of(options.ask);
  const ItemTable items = ItemTable::of(std::span(&item, 1));
  if (const std::string line = assumed_rate_warning(item);
      session.world.rank() == 0 && !line.empty())
    session.log.warning(line);
  const auto isolated = isolated_decoder(options.ask.run, model);
  PreparedRequest prepared =
      prepare_single_request(item, options.ask, model, sampling, isolated.get());

  const RankShare share = take_share(session, options.ask.run, model);
  const Mesh mesh(session.world, choose_mesh(options.ask.run, session.world.size()));
  if (mesh.data_index() != 0) return await_end(session.world);
  Prefetcher prefetcher(items, model.processor, model.image, 2, nullptr, isolated.get());
  RecordingSource pixels(prefetcher, item.media.size());
  Replica replica({.options = options.ask.run,
                   .model = model,
                   .mesh = mesh,
                   .loaders = loaders(session, options.ask.run, mesh.tensor()),
                   .share = share,
                   .sizing = trace_sizing(options, model, items, prepared),
                   .pixels = pixels,
                   .clock = session.clock});
  StageRecord record(static_cast<std::int64_t>(prepared.request.ids.size()));
  std::vector<std::byte> copy;
  for (Context* ctx : replica.contexts())
    ctx->set_stage_sink([&, ctx](std::string_view name, int index, ConstTensorView value) {
      record.add(name, index, to_host(ctx->stream(), value, copy));
    });

  Completion completion;
  if (!run_request(replica.engine(), prepared.request, mesh.tensor(), completion))
    return mesh.is_leader() ? end_failed(session.world, completion) : await_end(session.world);
  std::vector<layers::GridThw> grids;
  for (const RequestImage& shown : prepared.request.images) grids.push_back(shown.grid);
  const auto vision = gather_vision_stages(mesh.tensor(), model.config.vision, record,
                                           pixels.owned(), grids, reference_order(item));
  if (!mesh.is_leader()) return await_end(session.world);

  SafetensorsWriter file;
  add_inputs(file, item, prepared, model, isolated.get());
  add_stages(file, vision, true);
  add_stages(file, record.stages(), false);
  finish(file, options, model, mesh.shape(), completion);
  announce_end(session.world, kExitDone);
  return kExitDone;
}

}  // namespace retinue::runtime
