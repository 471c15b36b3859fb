#include "options.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>
#include <system_error>
#include <utility>

#include "interrupts.h"
#include "output.h"

namespace qvl::cli {
namespace {

constexpr int64_t kMany = 1 << 24;  // what nobody means to reach

std::string shown(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return {buffer, end};
}
std::string shown(int64_t value) { return std::to_string(value); }
std::string shown(uint64_t value) { return std::to_string(value); }

template <typename Number>
std::optional<Number> parse(const std::string& text, Number min, Number max) {
  Number value{};
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  // Written so that a value that is no number fails too.
  if (result.ec != std::errc() || result.ptr != end || !(value >= min && value <= max)) {
    return std::nullopt;
  }
  return value;
}

template <typename Number, typename Target>
void add(CLI::App& command, const std::string& name, Target& target, Range<Number> range) {
  const std::string kind = std::is_floating_point_v<Number> ? "a number" : "an integer";
  const std::string allowed = kind + " from " + shown(range.min) + " to " + shown(range.max);
  command
      .add_option_function<std::string>(
          name,
          [name, &target, range, allowed](const std::string& text) {
            const auto value = parse<Number>(text, range.min, range.max);
            if (!value) throw CLI::ValidationError(name, "found " + quoted(text) + ", expected " + allowed);
            target = *value;
          },
          range.description + ", " + allowed)
      ->type_name("N");
}

template <typename Value>
struct Choice {
  std::string name;
  Value value;
};

// An option that takes one of a few names.
template <typename Value>
void add_choice(CLI::App& command, const std::string& name, Value& target,
                const std::vector<Choice<Value>>& choices, const std::string& description) {
  std::string names;
  for (const auto& choice : choices) names += (names.empty() ? "" : ", ") + choice.name;
  command
      .add_option_function<std::string>(
          name,
          [name, &target, choices, names](const std::string& text) {
            for (const auto& choice : choices) {
              if (choice.name != text) continue;
              target = choice.value;
              return;
            }
            throw CLI::ValidationError(name, "found " + quoted(text) + ", expected one of " + names);
          },
          description + ": " + names)
      ->type_name("NAME");
}

}  // namespace

std::string quoted(const std::string& text) {
  // A control character in a value must not break the one line of the message.
  std::string out = "\"";
  for (char c : text.substr(0, 80)) out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
  return out + (text.size() > 80 ? "...\"" : "\"");
}

void add_integer(CLI::App& command, const std::string& name, int64_t& target, Range<int64_t> range) {
  add<int64_t>(command, name, target, range);
}

void add_integer(CLI::App& command, const std::string& name, std::optional<int64_t>& target,
                 Range<int64_t> range) {
  add<int64_t>(command, name, target, range);
}

void add_seed(CLI::App& command, std::optional<uint64_t>& target) {
  add<uint64_t>(
      command, "--seed", target,
      {0, std::numeric_limits<uint64_t>::max(), "of the random draws; without it they differ each time"});
}

void add_number(CLI::App& command, const std::string& name, std::optional<double>& target,
                Range<double> range) {
  add<double>(command, name, target, range);
}

void add_number(CLI::App& command, const std::string& name, double& target, Range<double> range) {
  add<double>(command, name, target, range);
}

std::vector<int32_t> parse_list(const std::string& name, const std::string& text, std::string_view expected) {
  std::vector<int32_t> values;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string item = text.substr(begin, end - begin);
    const auto id = parse<int64_t>(item, 0, std::numeric_limits<int32_t>::max());
    if (!id) {
      throw Error(ErrorCode::usage, name + ": found " + quoted(item) + ", expected " + std::string(expected));
    }
    values.push_back(static_cast<int32_t>(*id));
    begin = end + 1;
  }
  return values;
}

std::vector<int32_t> parse_tokens(const std::string& name, const std::string& text) {
  return parse_list(name, text, "token ids of 0 or more, like 1,2,3");
}

std::filesystem::path cache_folder_from(const std::string& cache) { return cache == "off" ? "" : cache; }

LoadOptions ModelArgs::load_options() const {
  LoadOptions options;
  options.path = path;
  options.mmproj = mmproj_path();
  options.system = config.config();
  options.disabled_passes = {disabled_passes.begin(), disabled_passes.end()};
  if (threads > 0) options.system.num_compute_threads = threads;
  options.threads = static_cast<int>(options.system.num_compute_threads);
  options.trace = !trace.empty();
  options.memory_limit = memory_limit;
  options.weights = weights;
  options.vision_weights = vision_weights;
  options.kv = kv;
  options.isa = isa;
  if (!cache.empty()) options.cache_folder = cache_folder_from(cache);
  options.stop = interrupt_token();
  return options;
}

std::optional<std::filesystem::path> ModelArgs::mmproj_path() const {
  if (mmproj.empty()) return std::nullopt;
  return mmproj;
}

CLI::Option* add_text(CLI::App& command, const std::string& name, std::string& target,
                      const std::string& description) {
  return command.add_option(name, target, description)->type_name(name.starts_with('-') ? "TEXT" : "");
}

CLI::Option* add_name(CLI::App& command, const std::string& name, std::string& target,
                      const std::string& type, const std::string& description) {
  const std::string of = type == "NAME" ? "" : " of a " + CLI::detail::to_lower(type);
  const std::string refusal = "found \"\", expected the name" + of;
  return add_text(command, name, target, description)
      ->type_name(type)
      ->check([refusal](const std::string& text) { return text.empty() ? refusal : ""; });
}

Error with_option_name(const Error& error, std::initializer_list<std::string_view> fields) {
  const std::string_view message = error.what();
  for (std::string_view field : fields) {
    if (!message.starts_with(std::string(field) + ":")) continue;
    std::string option = "--" + std::string(field);
    std::replace(option.begin(), option.end(), '_', '-');
    return Error(error.code(), option + std::string(message.substr(field.size())));
  }
  return error;
}

void add_model_files(CLI::App& command, ModelArgs& args) {
  add_text(command, "--model", args.path, "a folder in Hugging Face form, or a text .gguf file")
      ->required()
      ->type_name("PATH");
  add_name(command, "--mmproj", args.mmproj, "FILE", "the vision .gguf beside a text .gguf");
}

void add_model(CLI::App& command, ModelArgs& args) {
  add_model_files(command, args);
  add_integer(command, "--threads", args.threads,
              {1, 1024, "threads that compute, at most as many as there are processors to use"});
  const std::vector<Choice<WeightPrecision>> precisions = {{"auto", WeightPrecision::automatic},
                                                           {"f32", WeightPrecision::f32},
                                                           {"bf16", WeightPrecision::bf16},
                                                           {"q8", WeightPrecision::q8},
                                                           {"q4", WeightPrecision::q4}};
  add_choice(command, "--weights", args.weights, precisions, "numbers of the text decoder's weights");
  add_choice(command, "--vision-weights", args.vision_weights, precisions,
             "numbers of the vision tower's weights");
  add_choice<KvPrecision>(
      command, "--kv", args.kv,
      {{"f32", KvPrecision::f32}, {"16", KvPrecision::bits16}, {"int8", KvPrecision::bits8}},
      "numbers of kept keys and values");
  add_choice<std::string>(
      command, "--isa", args.isa,
      {{"scalar", "scalar"}, {"avx2", "avx2"}, {"avxvnni", "avxvnni"}, {"avx512", "avx512"}},
      "instruction set of the kernels");
  add_name(command, "--cache", args.cache, "FOLDER",
           "folder that keeps packed weights, features of pictures and prompts, or off");
  add_config(command, args.config);
  command
      .add_option("--disable-pass", args.disabled_passes,
                  "a pass of the optimizer to leave out, by its name in qvl plan; may be given several times")
      ->allow_extra_args(false)
      ->type_name("NAME");
  command
      .add_option_function<std::string>(
          "--memory-limit",
          [&args](const std::string& text) {
            try {
              args.memory_limit = memory_limit_from_text(text, "--memory-limit");
            } catch (const Error& error) {
              throw CLI::ValidationError(std::string(error.what()));
            }
          },
          "bytes that the process never passes, like 1.5GiB or 60%, in place of --memory-limit-ratio")
      ->type_name("BYTES")
      ->excludes("--memory-limit-ratio")
      ->group("System");
  // Two names of one field.
  command.get_option("--threads")->excludes("--num-compute-threads");
}

void add_trace(CLI::App& command, ModelArgs& args) {
  add_name(command, "--trace", args.trace, "FILE", "write where the time went, for ui.perfetto.dev");
}

bool name_one_file(const std::filesystem::path& a, const std::filesystem::path& b) {
  if (a.empty() || b.empty()) return false;
  std::error_code error;
  if (std::filesystem::equivalent(a, b, error)) return true;
  // One that is not there yet is compared by its name.
  const auto first = std::filesystem::weakly_canonical(a, error);
  if (error) return false;
  const auto second = std::filesystem::weakly_canonical(b, error);
  return !error && first == second;
}

void check_trace(const ModelArgs& args, const std::vector<std::string>& others) {
  if (args.trace.empty()) return;
  for (const std::string& other : others) {
    if (!name_one_file(args.trace, other)) continue;
    throw Error(ErrorCode::usage,
                "--trace: found " + args.trace + ", which another option names too; expected another file");
  }
  Model::check_can_write_trace(args.trace);
}

void write_trace(const ModelArgs& args, const Model& model, Warnings warnings) {
  if (args.trace.empty()) return;
  const auto missing = model.write_trace(args.trace);
  if (missing && warnings == Warnings::printed) print_error("warning: " + *missing);
}

Turn MediaArgs::turn(std::string text) const {
  return {.text = std::move(text),
          .images = {images.begin(), images.end()},
          .videos = {videos.begin(), videos.end()},
          .max_image_tokens = max_image_tokens};
}

void add_media(CLI::App& command, MediaArgs& args) {
  command.add_option("--image", args.images, "a picture; may be given several times")
      ->allow_extra_args(false)
      ->type_name("FILE");
  command.add_option("--video", args.videos, "a video; may be given several times")
      ->allow_extra_args(false)
      ->type_name("FILE");
  add_integer(
      command, "--max-image-tokens", args.max_image_tokens,
      {1, kMany, "each picture, and each step of a video, is resized to take at most so many tokens"});
  add_video_prompt(command, args.video_prompt);
}

void add_video_prompt(CLI::App& command, VideoPrompt& target) {
  command
      .add_option_function<std::string>(
          "--video-prompt",
          [&target](const std::string& form) {
            if (form != "timestamps" && form != "nested") {
              throw CLI::ValidationError("--video-prompt",
                                         "found " + quoted(form) + ", expected timestamps or nested");
            }
            target = form == "nested" ? VideoPrompt::nested_timestamps : VideoPrompt::timestamps;
          },
          "how frames stand in the prompt: timestamps (as in training) or nested")
      ->type_name("FORM");
}

void add_generation(CLI::App& command, GenerationOptions& options) {
  add_integer(command, "--max-tokens", options.max_tokens, {1, kMany, "the longest answer"});
  add_number(command, "--temperature", options.temperature, {0, 100, "0 is greedy"});
  add_integer(command, "--top-k", options.top_k, {0, kMany, "draw from the K best tokens, 0 from all"});
  add_number(command, "--top-p", options.top_p,
             {1e-6, 1, "draw from the best tokens of this share of probability"});
  add_number(command, "--repetition-penalty", options.repetition_penalty,
             {0.01, 100, "over prompt and answer, 1 is none"});
  add_number(command, "--presence-penalty", options.presence_penalty,
             {-100, 100, "over the answer, 0 is none"});
  add_seed(command, options.seed);
  command.add_option("--stop", options.stop, "the answer ends before this text; may be given several times")
      ->allow_extra_args(false)
      ->type_name("TEXT");
}

void add_example(CLI::App& command, const std::string& example) { command.footer("Example:\n  " + example); }

}  // namespace qvl::cli
