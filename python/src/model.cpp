// Loading a checkpoint, its tokenizer, pixels and logits.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/set.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <span>

#include "bindings.h"
#include "kept.h"
#include "listeners.h"
#include "qvl/plan.h"

namespace qvl::python {
namespace {

using Floats = nb::ndarray<nb::numpy, float, nb::ndim<2>, nb::c_contig>;

// The array keeps the values.
Floats to_array(std::vector<float> values, size_t rows, size_t columns) {
  auto held = std::make_unique<std::vector<float>>(std::move(values));
  float* data = held->data();
  const nb::capsule owner(held.get(), [](void* pointer) noexcept {
    const std::unique_ptr<std::vector<float>> ended(static_cast<std::vector<float>*>(pointer));
  });
  (void)held.release();
  return Floats(data, {rows, columns}, owner);
}

nb::tuple pixels(const SharedModel& model, const std::filesystem::path& image) {
  PatchValues values;
  {
    const nb::gil_scoped_release unlocked;
    values = model->model.pixels(image);
  }
  const auto rows = static_cast<size_t>(values.patches),
             columns = static_cast<size_t>(values.values_per_patch);
  return nb::make_tuple(to_array(std::move(values.values), rows, columns),
                        nb::make_tuple(values.grid_t, values.grid_h, values.grid_w));
}

Floats logits(const SharedModel& model, const LogitsRequest& request, const nb::object& on_progress) {
  PythonListeners listeners(nb::none(), on_progress);
  std::vector<float> values;
  {
    const nb::gil_scoped_release unlocked;
    const Computation computation(*model);
    model->model.logits(
        request,
        [&](int64_t, std::span<const float> row) { values.insert(values.end(), row.begin(), row.end()); },
        listeners.listeners());
  }
  listeners.raise();
  const auto columns = static_cast<size_t>(model->model.vocabulary());
  const size_t rows = values.size() / columns;
  return to_array(std::move(values), rows, columns);
}

using Ids = nb::ndarray<const int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Patches = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

template <typename Array>
auto span_of(const Array& array) {
  return std::span(array.data(), array.size());
}

// Pictures or videos of a batch.
struct BatchMedia {
  std::optional<Patches> values;  // [patches, values_per_patch]
  std::optional<Ids> grids;       // [media, 3]
};

PatchBatch patch_batch(const BatchMedia& media) {
  PatchBatch batch;
  if (media.values) {
    batch.values = span_of(*media.values);
    batch.patches = static_cast<int64_t>(media.values->shape(0));
    batch.values_per_patch = static_cast<int64_t>(media.values->shape(1));
  }
  if (media.grids) batch.grids = span_of(*media.grids);
  return batch;
}

std::vector<BatchedPrompt> split(const SharedModel& model, const Ids& ids, const std::optional<Ids>& mask,
                                 const BatchMedia& images, const BatchMedia& videos) {
  TensorBatch batch{.rows = static_cast<int64_t>(ids.shape(0)),
                    .columns = static_cast<int64_t>(ids.shape(1)),
                    .ids = span_of(ids),
                    .images = patch_batch(images),
                    .videos = patch_batch(videos)};
  if (mask) batch.attention_mask = span_of(*mask);
  const nb::gil_scoped_release unlocked;
  return model->model.split(batch);
}

SharedModel load(const LoadOptions& options, const nb::object& on_progress) {
  PythonListeners listeners(nb::none(), on_progress);
  LoadOptions asked = options;
  asked.progress = listeners.progress();
  std::shared_ptr<LoadedModel> loaded;
  {
    const nb::gil_scoped_release unlocked;
    loaded = std::make_shared<LoadedModel>(load_model(asked));
  }
  listeners.raise();
  return SharedModel("Model", std::move(loaded));
}

// `checkpoint` has name, config, generation, folder, owner, and tensors as (name, dtype, shape, address,
// bytes), which the package has checked to lie in memory of the owner.
SharedModel load_from_memory(const LoadOptions& options, const nb::dict& checkpoint) {
  auto in_memory = std::make_shared<CheckpointInMemory>();
  in_memory->name = nb::cast<std::string>(checkpoint["name"]);
  in_memory->config_json = nb::cast<std::string>(checkpoint["config"]);
  in_memory->generation_json = nb::cast<std::string>(checkpoint["generation"]);
  if (!checkpoint["folder"].is_none()) in_memory->folder = nb::cast<std::string>(checkpoint["folder"]);
  for (const nb::handle each : checkpoint["tensors"]) {
    const auto* data = reinterpret_cast<const std::byte*>(nb::cast<uintptr_t>(each[3]));
    in_memory->tensors.push_back({.name = nb::cast<std::string>(each[0]),
                                  .dtype = nb::cast<std::string>(each[1]),
                                  .shape = nb::cast<std::vector<uint64_t>>(each[2]),
                                  .bytes = {data, nb::cast<size_t>(each[4])}});
  }
  in_memory->keep_alive = kept(nb::borrow(checkpoint["owner"]));
  LoadOptions asked = options;
  asked.in_memory = std::move(in_memory);
  return load(asked, nb::none());
}

nb::object plan(const LoadOptions& options, PlanOptions::Measure measure) {
  std::string json;
  {
    const nb::gil_scoped_release unlocked;
    json = to_json(plan_for(options, {.measure = measure}));
  }
  return parsed(json);
}

void bind_load_options(nb::module_& module) {
  nb::enum_<WeightPrecision>(module, "WeightPrecision")
      .value("auto", WeightPrecision::automatic)
      .value("f32", WeightPrecision::f32)
      .value("bf16", WeightPrecision::bf16)
      .value("q8", WeightPrecision::q8)
      .value("q4", WeightPrecision::q4);
  nb::enum_<KvPrecision>(module, "KvPrecision")
      .value("f32", KvPrecision::f32)
      .value("int16", KvPrecision::bits16)
      .value("int8", KvPrecision::bits8);
  nb::enum_<PlanOptions::Measure>(module, "Measure")
      .value("stored", PlanOptions::Measure::stored)
      .value("missing", PlanOptions::Measure::missing);
  nb::class_<LoadOptions>(module, "LoadOptions")
      .def(nb::init<>())
      .def_rw("path", &LoadOptions::path)
      .def_rw("mmproj", &LoadOptions::mmproj, nb::arg("value").none())
      .def_rw("threads", &LoadOptions::threads)
      .def_rw("weights", &LoadOptions::weights)
      .def_rw("vision_weights", &LoadOptions::vision_weights)
      .def_rw("kv", &LoadOptions::kv)
      .def_rw("isa", &LoadOptions::isa)
      .def_rw("cache_folder", &LoadOptions::cache_folder, nb::arg("value").none())
      .def_rw("system", &LoadOptions::system)
      .def_rw("disabled_passes", &LoadOptions::disabled_passes)
      .def_rw("memory_limit", &LoadOptions::memory_limit, nb::arg("value").none())
      .def_rw("trace", &LoadOptions::trace);
}

ControlText control_named(const std::string& name) {
  if (name == "spelled_out") return ControlText::spelled_out;
  if (name == "parsed") return ControlText::parsed;
  throw Error(ErrorCode::usage, "control: found \"" + name + "\", expected spelled_out or parsed");
}

void bind_tokenizer(nb::module_& module) {
  nb::class_<TextTokenizer>(module, "Tokenizer", "The tokenizer of a checkpoint. Thread-safe.")
      .def(
          "tokenize",
          [](const TextTokenizer& self, const std::string& text, const std::string& control) {
            const ControlText how = control_named(control);
            const nb::gil_scoped_release unlocked;
            return self.tokenize(text, how);
          },
          nb::arg("text"), nb::arg("control") = "spelled_out",
          "Ids of a text. control: whether \"<|im_start|>\" in it is \"spelled_out\" or a control token, "
          "\"parsed\".")
      .def(
          "detokenize",
          [](const TextTokenizer& self, const std::vector<int32_t>& tokens) {
            return self.detokenize(tokens);
          },
          nb::arg("tokens"), nb::call_guard<nb::gil_scoped_release>(), "The text of all tokens.");
  module.def("load_tokenizer", &load_tokenizer, nb::arg("path"), nb::call_guard<nb::gil_scoped_release>());
}

void bind_logits_request(nb::module_& module) {
  nb::enum_<LogitsRequest::Form>(module, "PromptForm")
      .value("chat", LogitsRequest::Form::chat)
      .value("raw", LogitsRequest::Form::raw_text)
      .value("tokens", LogitsRequest::Form::tokens);
  nb::enum_<VideoPrompt>(module, "VideoPrompt")
      .value("timestamps", VideoPrompt::timestamps)
      .value("nested", VideoPrompt::nested_timestamps);
  nb::class_<Turn>(module, "Turn")
      .def(nb::init<std::string, std::vector<std::filesystem::path>, std::vector<std::filesystem::path>>(),
           nb::arg("text"), nb::arg("images"), nb::arg("videos"))
      .def_rw("max_image_tokens", &Turn::max_image_tokens, nb::arg("value").none());
  nb::class_<TensorInputs>(module, "TensorInputs");
  nb::class_<BatchedPrompt>(module, "BatchedPrompt")
      .def_ro("inputs", &BatchedPrompt::inputs)
      .def_ro("first", &BatchedPrompt::first)
      .def_prop_ro("tokens", [](const BatchedPrompt& self) { return self.inputs.ids.size(); });
  nb::class_<LogitsRequest>(module, "LogitsRequest")
      .def(nb::init<>())
      .def_rw("turn", &LogitsRequest::turn)
      .def_rw("form", &LogitsRequest::form)
      .def_rw("tokens", &LogitsRequest::tokens)
      .def_rw("tensors", &LogitsRequest::tensors)
      .def_rw("video_prompt", &LogitsRequest::video_prompt)
      .def_rw("chunk", &LogitsRequest::chunk);
}

}  // namespace

void bind_model(nb::module_& module) {
  bind_load_options(module);
  bind_tokenizer(module);
  bind_logits_request(module);
  nb::class_<BatchMedia>(module, "BatchMedia")
      .def(
          "__init__",
          [](BatchMedia* self, std::optional<Patches> values, std::optional<Ids> grids) {
            new (self) BatchMedia{std::move(values), std::move(grids)};
          },
          nb::arg("values").none(), nb::arg("grids").none());
  nb::class_<SharedModel>(module, "LoadedModel")
      .def("tokenizer", [](const SharedModel& self) { return self->model.tokenizer(); })
      .def("pixels", &pixels, nb::arg("image"))
      .def("split", &split, nb::arg("ids"), nb::arg("mask").none(), nb::arg("images"), nb::arg("videos"))
      .def("logits", &logits, nb::arg("request"), nb::arg("on_progress").none())
      .def(
          "write_trace",
          [](const SharedModel& self, const std::filesystem::path& path) { self->model.write_trace(path); },
          nb::arg("path"), nb::call_guard<nb::gil_scoped_release>())
      .def_prop_ro("vocabulary", [](const SharedModel& self) { return self->model.vocabulary(); })
      .def_prop_ro("load_seconds", [](const SharedModel& self) { return self->model.load_seconds(); })
      .def_prop_ro("threads", [](const SharedModel& self) { return self->model.threads(); })
      .def_prop_ro("isa", [](const SharedModel& self) { return self->model.isa(); })
      .def_prop_ro("from_cache",
                   [](const SharedModel& self) { return self->model.packing() == Packing::mapped; })
      .def_prop_ro("warnings", [](const SharedModel& self) { return self->model.warnings(); });
  module.def("load_model", &load, nb::arg("options"), nb::arg("on_progress").none());
  module.def("load_from_memory", &load_from_memory, nb::arg("options"), nb::arg("checkpoint"));
  module.def("plan", &plan, nb::arg("options"), nb::arg("measure"));
  module.def("memory_limit_from_text", &memory_limit_from_text, nb::arg("text"), nb::arg("name"));
}

}  // namespace qvl::python
