// Conversation and what it answers with.
#include <nanobind/nanobind.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include "bindings.h"
#include "listeners.h"

namespace qvl::python {
namespace {

/// Of a model that several threads may share.
class Talk {
 public:
  Talk(const SharedModel& model, ConversationOptions options)
      : model_(model),
        conversation_("Conversation", std::make_shared<Conversation>(model->model, std::move(options))) {}
  /// The one that save() wrote.
  static Talk resume(const SharedModel& model, const std::filesystem::path& path) {
    const nb::gil_scoped_release unlocked;
    const Computation computation(*model);
    return Talk(model, std::make_shared<Conversation>(model->model.resume(path)));
  }

  Answer ask(const Turn& turn, const GenerationOptions& options, PythonListeners& listeners) {
    return answer(listeners, [&](Conversation& it) { return it.ask(turn, options, listeners.listeners()); });
  }
  Answer tool_results(const std::vector<std::string>& results, const GenerationOptions& options,
                      PythonListeners& listeners) {
    return answer(listeners,
                  [&](Conversation& it) { return it.tool_results(results, options, listeners.listeners()); });
  }
  void save(const std::filesystem::path& path) const {
    const nb::gil_scoped_release unlocked;
    const Computation computation(*model_);
    conversation_->save(path);
  }

 private:
  Talk(const SharedModel& model, std::shared_ptr<Conversation> conversation)
      : model_(model), conversation_("Conversation", std::move(conversation)) {}

  template <typename Make>
  Answer answer(const PythonListeners& listeners, Make&& make) {
    Answer out;
    {
      const nb::gil_scoped_release unlocked;
      const Computation computation(*model_);
      out = make(*conversation_);
    }
    listeners.raise();
    return out;
  }

  SharedModel model_;
  AtHome<Conversation> conversation_;
};

void bind_answer(nb::module_& module) {
  nb::class_<Usage>(module, "Usage", "Tokens of one answer.")
      .def_ro("prompt_tokens", &Usage::prompt_tokens)
      .def_ro("image_tokens", &Usage::image_tokens)
      .def_ro("cached_tokens", &Usage::cached_tokens)
      .def_ro("completion_tokens", &Usage::completion_tokens);
  nb::class_<Timings>(module, "Timings", "Seconds of one answer.")
      .def_ro("load_s", &Timings::load_s)
      .def_ro("preprocess_s", &Timings::preprocess_s)
      .def_ro("vision_s", &Timings::vision_s)
      .def_ro("prefill_s", &Timings::prefill_s)
      .def_ro("decode_s", &Timings::decode_s)
      .def_ro("time_to_first_token_s", &Timings::time_to_first_token_s);
  nb::class_<MediumReport>(module, "MediumReport", "A picture or video of a turn.")
      .def_prop_ro("path", [](const MediumReport& self) { return self.path.string(); })
      .def_prop_ro("features", [](const MediumReport& self) { return name_of(self.features); })
      .def("__repr__", [](const MediumReport& self) {
        return "MediumReport(path=" + nb::cast<std::string>(nb::repr(nb::cast(self.path.string()))) +
               ", features='" + std::string(name_of(self.features)) + "')";
      });
  nb::class_<Answer>(module, "Answer", "What a model answered. str() of it is the text.")
      .def_ro("text", &Answer::text)
      .def_ro("tokens", &Answer::tokens)
      .def_prop_ro("finish_reason", [](const Answer& self) { return name_of(self.finish_reason); })
      .def_ro("end_token", &Answer::end_token)
      .def_ro("usage", &Answer::usage)
      .def_ro("timings", &Answer::timings)
      .def_ro("media", &Answer::media)
      .def("__str__", [](const Answer& self) { return self.text; })
      .def("__repr__", [](const Answer& self) {
        return "Answer(text=" + nb::cast<std::string>(nb::repr(nb::cast(self.text))) + ", finish_reason='" +
               std::string(name_of(self.finish_reason)) + "')";
      });
}

void bind_generation_options(nb::module_& module) {
  nb::class_<GenerationOptions>(module, "GenerationOptions")
      .def(nb::init<>())
      .def_rw("max_tokens", &GenerationOptions::max_tokens)
      .def_rw("temperature", &GenerationOptions::temperature, nb::arg("value").none())
      .def_rw("top_k", &GenerationOptions::top_k, nb::arg("value").none())
      .def_rw("top_p", &GenerationOptions::top_p, nb::arg("value").none())
      .def_rw("repetition_penalty", &GenerationOptions::repetition_penalty, nb::arg("value").none())
      .def_rw("presence_penalty", &GenerationOptions::presence_penalty)
      .def_rw("seed", &GenerationOptions::seed, nb::arg("value").none())
      .def_rw("stop", &GenerationOptions::stop)
      .def_rw("prefill_chunk", &GenerationOptions::prefill_chunk);
}

}  // namespace

void bind_conversation(nb::module_& module) {
  bind_answer(module);
  bind_generation_options(module);
  nb::class_<ConversationOptions>(module, "ConversationOptions")
      .def(nb::init<>())
      .def_rw("system", &ConversationOptions::system)
      .def_rw("video_prompt", &ConversationOptions::video_prompt)
      .def_rw("tools_json", &ConversationOptions::tools_json);
  nb::class_<Talk>(module, "Talk")
      .def(nb::init<const SharedModel&, ConversationOptions>(), nb::arg("model"), nb::arg("options"))
      .def(
          "ask",
          [](Talk& self, const Turn& turn, const GenerationOptions& options, nb::object on_text,
             nb::object on_progress) {
            PythonListeners listeners(std::move(on_text), std::move(on_progress));
            return self.ask(turn, options, listeners);
          },
          nb::arg("turn"), nb::arg("options"), nb::arg("on_text").none(), nb::arg("on_progress").none())
      .def(
          "tool_results",
          [](Talk& self, const std::vector<std::string>& results, const GenerationOptions& options,
             nb::object on_text, nb::object on_progress) {
            PythonListeners listeners(std::move(on_text), std::move(on_progress));
            return self.tool_results(results, options, listeners);
          },
          nb::arg("results"), nb::arg("options"), nb::arg("on_text").none(), nb::arg("on_progress").none())
      .def_static("resume", &Talk::resume, nb::arg("model"), nb::arg("path"))
      .def("save", &Talk::save, nb::arg("path"));
}

}  // namespace qvl::python
