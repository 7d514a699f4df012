#include "parallel/base/exit_code.h"
#include "runtime/decode/prefetcher.h"
#include "runtime/jobs/job.h"
#include "runtime/jobs/job_messages.h"
#include "runtime/jobs/model_warnings.h"
#include "runtime/jobs/prepared_request.h"
#include "runtime/jobs/replica.h"
#include "runtime/jobs/stop_signal.h"
#include "runtime/text/output_text.h"

#include <fmt/format.h>

namespace retinue::runtime {
namespace {

void print(const std::string& text) {
  if (text.empty()) return;
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

/// The leader's part: submits the request and prints the answer. Returns the exit code.
int answer_on_leader(Engine& engine, PreparedRequest prepared, OutputText& text) {
  // The engine asks after every token whether a stop text has come: print the token there.
  prepared.request.stop = [&](std::span<const std::int32_t> ids) {
    const bool stopped = text.update(ids);
    print(text.take());
    return stopped;
  };
  if (const auto refused = engine.submit(std::move(prepared.request)))
    throw UsageError(fmt::format("[{}] {}", refused->stage, refused->message));
  engine.drain();
  while (engine.step()) {
  }
  const auto completions = engine.poll();
  check(completions.size() == 1, "one question has one answer");
  print(text.finish() + "\n");
  if (!completions[0].error) return kExitDone;
  std::fprintf(stderr, "retinue: [%s] %s\n", completions[0].error->stage.c_str(),
               completions[0].error->message.c_str());
  return kExitItemsFailed;
}

}  // namespace

int run_ask(const Session& session, const AskOptions& options) {
  const StopSignal signal(session.world.rank() == 0);
  const ModelFiles model = load_model_files(options.run);
  if (session.world.rank() == 0)
    for (const std::string& line : model_warnings(options.run)) session.log.warning(line);
  const Sampling sampling = resolve_sampling(options.sampling, model);
  const Item item = item_of(options);
  const ItemTable items = ItemTable::of(std::span(&item, 1));
  const auto isolated = isolated_decoder(options.run, model);
  if (const std::string line = assumed_rate_warning(item);
      session.world.rank() == 0 && !line.empty())
    session.log.warning(line);
  PreparedRequest prepared = prepare_single_request(item, options, model, sampling, isolated.get());
  EngineSizing sizing = sizing_for(options.run, model, items.summary(), sampling.max_new_tokens);
  fit_sizing(sizing, prepared);

  const RankShare share = take_share(session, options.run, model);
  const Mesh mesh(session.world, choose_mesh(options.run, session.world.size()));
  // One request needs one replica; the ranks of others wait.
  if (mesh.data_index() != 0) return await_end(session.world);
  Prefetcher prefetcher(items, model.processor, model.image, 2, nullptr, isolated.get());
  Replica replica({.options = options.run,
                   .model = model,
                   .mesh = mesh,
                   .loaders = loaders(session, options.run, mesh.tensor()),
                   .share = share,
                   .sizing = sizing,
                   .pixels = prefetcher,
                   .clock = session.clock});
  if (!mesh.is_leader()) {
    while (replica.engine().step()) {
    }
    return await_end(session.world);
  }
  OutputText text(model.detokenizer, sampling.stop);
  const int code = answer_on_leader(replica.engine(), std::move(prepared), text);
  announce_end(session.world, code);
  return code;
}

}  // namespace retinue::runtime
