// Options that several commands share, and how numbers are read: independent of the locale, with the range in
// the message.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config_options.h"
#include "qvl/qvl.h"

namespace qvl::cli {

/// What a number may be, and what it is for.
template <typename Number>
struct Range {
  Number min, max;
  std::string description;
};

/// Adds an option that takes one number. A value that is none or out of range ends parsing with a message
/// like
/// "--top-k: found abc, expected an integer from 0 to 100".
void add_integer(CLI::App& command, const std::string& name, int64_t& target, Range<int64_t> range);
void add_integer(CLI::App& command, const std::string& name, std::optional<int64_t>& target,
                 Range<int64_t> range);
void add_seed(CLI::App& command, std::optional<uint64_t>& target);
void add_number(CLI::App& command, const std::string& name, std::optional<double>& target,
                Range<double> range);
void add_number(CLI::App& command, const std::string& name, double& target, Range<double> range);

/// A value as messages show it: in quotes, cut where it is long, on one line.
std::string quoted(const std::string& text);

/// "1,2,3". Throws Error{usage} that begins with `name`.
std::vector<int32_t> parse_tokens(const std::string& name, const std::string& text);
/// The same of other numbers of 0 or more, `expected` in the message.
std::vector<int32_t> parse_list(const std::string& name, const std::string& text, std::string_view expected);

/// What --cache names: "off" is no folder, an empty path.
std::filesystem::path cache_folder_from(const std::string& cache);

struct ModelArgs {
  std::string path = {}, mmproj = {};
  int64_t threads = 0;
  WeightPrecision weights = WeightPrecision::automatic, vision_weights = WeightPrecision::automatic;
  KvPrecision kv = KvPrecision::bits16;
  std::string isa = {};
  std::string cache = {};  ///< empty: not given
  std::string trace = {};  ///< empty: none
  std::optional<uint64_t> memory_limit = {};
  ConfigArgs config = {};
  std::vector<std::string> disabled_passes = {};

  /// Loading them stops at an interrupt. Throws Error{usage} for the file of --config.
  LoadOptions load_options() const;
  std::optional<std::filesystem::path> mmproj_path() const;
};
void add_model_files(CLI::App& command, ModelArgs& args);  ///< --model, --mmproj
/// And how it is computed: --threads, --weights, ..., --config with an option for each of its fields.
void add_model(CLI::App& command, ModelArgs& args);

/// Whether both are names of one file, there or not; an empty one names none.
bool name_one_file(const std::filesystem::path& a, const std::filesystem::path& b);

/// --trace, for commands that end with write_trace().
void add_trace(CLI::App& command, ModelArgs& args);
/// Where --trace was given, before anything is loaded: throws where the trace could not be written at the
/// end, or would take the place of one of `others`, the other files of the command (empty: none).
void check_trace(const ModelArgs& args, const std::vector<std::string>& others);
enum class Warnings { printed, left_out };
/// Where --trace was given. Warns where the file has not all that was recorded, also where the command prints
/// JSON.
void write_trace(const ModelArgs& args, const Model& model, Warnings warnings = Warnings::printed);

struct MediaArgs {
  std::vector<std::string> images = {}, videos = {};
  std::optional<int64_t> max_image_tokens = {};
  VideoPrompt video_prompt = VideoPrompt::timestamps;

  Turn turn(std::string text) const;
  bool any() const { return !images.empty() || !videos.empty(); }
};
void add_media(CLI::App& command, MediaArgs& args);  ///< --image, --video, --max-image-tokens, --video-prompt
void add_video_prompt(CLI::App& command, VideoPrompt& target);

/// --system is a conversation's, not here.
void add_generation(CLI::App& command, GenerationOptions& options);

/// An option or positional that must be given and takes one text.
CLI::Option* add_text(CLI::App& command, const std::string& name, std::string& target,
                      const std::string& description);
/// An option that names a thing of the type "FILE" or "FOLDER", as messages and help show it. The empty name
/// is refused: it would count as none.
CLI::Option* add_name(CLI::App& command, const std::string& name, std::string& target,
                      const std::string& type, const std::string& description);

/// The library names the field of a request ("image_sizes: found 31, ..."), a user knows the option: the same
/// error with "--image-sizes" in front where it begins with one of `fields`.
Error with_option_name(const Error& error, std::initializer_list<std::string_view> fields);

/// An example shown under the help of a command.
void add_example(CLI::App& command, const std::string& example);

}  // namespace qvl::cli
