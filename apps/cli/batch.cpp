#include "batch.h"

#include <sys/stat.h>

#include <chrono>
#include <deque>
#include <optional>
#include <stop_token>
#include <utility>

#include "activity.h"
#include "answer_report.h"
#include "batch_output.h"
#include "batch_progress.h"
#include "batch_request.h"
#include "interrupts.h"
#include "line_reader.h"
#include "output.h"

namespace qvl::cli {
namespace {

using Clock = std::chrono::steady_clock;

// So many lines are under way at a time: enough that the next pictures are ready when the last ones are done,
// and a bound for the memory of requests and of answers that wait for an earlier one.
constexpr size_t kWindow = 64;

std::string_view name_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::usage:
      return "usage";
    case ErrorCode::model_file:
      return "model_file";
    case ErrorCode::media:
      return "media";
    case ErrorCode::limit:
      return "limit";
    case ErrorCode::environment:
      return "environment";
    case ErrorCode::cancelled:
      break;
  }
  return "cancelled";
}

// Of these no line is the cause, and the next ones would fail as well.
bool ends_batch(ErrorCode code) { return code == ErrorCode::model_file || code == ErrorCode::environment; }

LineReader open_batch(const std::string& path) {
  return LineReader(path == "-" ? open_standard_input() : open_to_read(path), path, kMaxRequestBytes);
}

// The lines of a file that is all there.
std::optional<int64_t> count_lines(const std::string& path) {
  LineReader lines = open_batch(path);
  struct stat status = {};
  if (path == "-" || ::fstat(lines.fd(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  int64_t count = 0;
  while (lines.next()) ++count;
  return count;
}

// A line that has no answer yet.
struct Pending {
  Json head;
  int64_t line = 0;
  int64_t pictures = 0;
  std::optional<InferenceStream> stream = {};
  std::optional<Error> refusal = {};  // in place of a stream
};

class Batch {
 public:
  explicit Batch(const BatchArgs& args)
      : args_(args),
        defaults_{.folder = args.file == "-" ? std::filesystem::path()
                                             : std::filesystem::path(args.file).parent_path(),
                  .request = args.defaults},
        lines_(open_batch(args.file)),
        output_(args.output) {}

  int run();

 private:
  Model load() const;
  void serve(OptimizedInferencePipeline& pipeline, TextLine first);
  bool submit(OptimizedInferencePipeline& pipeline, const TextLine& line);
  bool take_oldest();
  void fail(Json& answer, const Pending& pending, const Error& error);
  void tell(const std::string& text) const;

  const BatchArgs& args_;
  const BatchDefaults defaults_;
  LineReader lines_;
  BatchOutput output_;
  std::deque<Pending> pending_;
  BatchCount count_;
  std::optional<int> first_failure_;
  std::string first_message_;  // of this run
  std::optional<BatchProgress> progress_;
};

int Batch::run() {
  const EarlierAnswers earlier = output_.resume(lines_, args_.file);
  count_ = {.answered = earlier.answered, .failed = earlier.failed};
  first_failure_ = earlier.first_failure;
  const auto total = count_lines(args_.file);
  const ProgressTarget target =
      ::isatty(STDERR_FILENO) == 1 ? ProgressTarget::terminal : ProgressTarget::file;
  std::optional<TextLine> first = lines_.next();
  std::optional<Model> model;
  if (first) {
    model.emplace(load());
    auto pipeline = apply_system_level_optimizations(*model, args_.model.load_options().system);
    progress_.emplace(target, total, earlier.answered, Clock::now());
    serve(pipeline, *std::move(first));
  } else {
    progress_.emplace(target, total, earlier.answered, Clock::now());
  }
  tell(progress_->finish(count_, Clock::now()));
  if (!args_.quiet && !first_message_.empty()) print_error(first_message_);
  if (model) write_trace(args_.model, *model, args_.quiet ? Warnings::left_out : Warnings::printed);
  return first_failure_.value_or(0);
}

Model Batch::load() const {
  Activity activity;
  LoadOptions options = args_.model.load_options();
  if (!args_.quiet) options.progress = activity.progress();
  Model model = load_model(options);
  if (!args_.quiet) print_warnings(model);
  return model;
}

void Batch::serve(OptimizedInferencePipeline& pipeline, TextLine first) {
  // Ends the wait for an answer.
  const std::stop_callback stop(interrupt_token(), [&] { pipeline.cleanup(); });
  bool more = submit(pipeline, first);
  while (more || !pending_.empty()) {
    // Whoever writes the lines may wait for an answer first. After an interrupt those that are done are kept.
    if (more && !interrupted() && pending_.size() < kWindow && (pending_.empty() || lines_.ready())) {
      const auto line = lines_.next();
      more = line && submit(pipeline, *line);
    } else if (pending_.empty() || !take_oldest()) {
      return;
    }
  }
}

// False where the batch was interrupted.
bool Batch::submit(OptimizedInferencePipeline& pipeline, const TextLine& line) {
  BatchRequest asked = parse_batch_line(line, defaults_);
  Pending pending{.head = answer_head(line),
                  .line = line.number,
                  .pictures = std::ssize(asked.request.images) + std::ssize(asked.request.videos),
                  .refusal = std::move(asked.refusal)};
  if (!asked.id.is_null()) pending.head["id"] = std::move(asked.id);
  if (!pending.refusal) {
    try {
      pending.stream = pipeline.submit(std::move(asked.request));
    } catch (const Error& error) {
      if (interrupted()) return false;  // it takes no more
      pending.refusal = error;
    }
  }
  pending_.push_back(std::move(pending));
  return true;
}

// False where it has no answer, because the batch was interrupted.
bool Batch::take_oldest() {
  Pending pending = std::move(pending_.front());
  pending_.pop_front();
  Json answer = std::move(pending.head);
  try {
    if (pending.refusal) throw *pending.refusal;
    while (pending.stream->next()) tell(progress_->show(count_, Clock::now()));
    const Answer made = pending.stream->result();
    if (made.finish_reason == FinishReason::cancelled) return false;
    answer.update(answer_fields(made));
    count_.pictures += pending.pictures;
  } catch (const Error& error) {
    if (interrupted()) return false;
    fail(answer, pending, error);
  }
  output_.write(answer);
  ++count_.answered;
  tell(progress_->show(count_, Clock::now()));
  return true;
}

void Batch::fail(Json& answer, const Pending& pending, const Error& error) {
  const std::string place = args_.file + ": line " + std::to_string(pending.line) + ": ";
  if (ends_batch(error.code())) throw Error(error.code(), place + error.what());
  answer["error"] = {
      {"code", static_cast<int>(error.code())}, {"kind", name_of(error.code())}, {"message", error.what()}};
  ++count_.failed;
  if (!first_failure_) first_failure_ = static_cast<int>(error.code());
  if (first_message_.empty()) first_message_ = place + error.what();
}

void Batch::tell(const std::string& text) const {
  if (!args_.quiet && !text.empty()) (void)!::write(STDERR_FILENO, text.data(), text.size());
}

}  // namespace

int run_batch(const BatchArgs& args) { return Batch(args).run(); }

}  // namespace qvl::cli
