// Many requests at once: the pipeline, its streams and what they tell.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/filesystem.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "bindings.h"
#include "lent_thread.h"
#include "listeners.h"
#include "qvl/pipeline.h"

namespace qvl::python {
namespace {

const char* name_of(InferenceEvent::Kind kind) {
  switch (kind) {
    case InferenceEvent::Kind::admitted:
      return "admitted";
    case InferenceEvent::Kind::finished:
      return "finished";
    case InferenceEvent::Kind::text:
      break;
  }
  return "text";
}

// Waits with `wait_for` until it has something, without the interpreter's lock, and at most `seconds`. False
// where that is over. Throws what a signal handler raises meanwhile.
template <typename WaitFor>
bool wait(std::optional<double> seconds, WaitFor&& wait_for) {
  LentThread::refuse("request");
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kBetweenSignals(50);
  const auto begin = Clock::now();
  for (;;) {
    auto most = kBetweenSignals;
    if (seconds) {
      const auto left = *seconds - std::chrono::duration<double>(Clock::now() - begin).count();
      most =
          std::min(most, std::chrono::milliseconds(static_cast<int64_t>(std::clamp(left, 0.0, 1.0) * 1000)));
    }
    bool ready = false;
    {
      const nb::gil_scoped_release unlocked;
      ready = wait_for(most);
    }
    if (ready) return true;
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (seconds && most.count() == 0) return false;
  }
}

using Rows = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

/// A request under way. Keeps the model, not the pipeline.
class Stream {
 public:
  Stream(const SharedModel& model, InferenceStream stream)
      : model_(model), stream_("InferenceStream", std::make_shared<InferenceStream>(std::move(stream))) {}

  uint64_t id() const { return stream_->id(); }
  std::optional<InferenceEvent> next() {
    refuse_within_listener();
    wait(std::nullopt, [this](auto most) { return stream_->wait_for_event(most); });
    return stream_->next();
  }
  bool wait_for_result(std::optional<double> seconds) {
    refuse_within_listener();
    return wait(seconds, [this](auto most) { return stream_->wait_for_result(most); });
  }
  Answer result() {
    wait_for_result(std::nullopt);
    return stream_->result();
  }
  bool done() { return stream_->wait_for_result(std::chrono::milliseconds(0)); }
  void cancel() { stream_->cancel(); }

 private:
  // Whoever computes with the model keeps its turn, which the request waits for.
  void refuse_within_listener() const {
    if (model_->computing == std::this_thread::get_id()) {
      throw Error(ErrorCode::usage, "pipeline: a listener waited for the model that is calling it");
    }
  }

  SharedModel model_;
  AtHome<InferenceStream> stream_;
};

class Pipeline {
 public:
  Pipeline(const SharedModel& model, const SystemOptimizationConfig& config,
           const std::shared_ptr<LiveParts>& parts)
      : model_(model), parts_(parts), pipeline_("OptimizedInferencePipeline", made(model->model, config)) {
    parts_->add(pipeline_.shared());
  }
  ~Pipeline() {
    if (!home_.here()) return;
    if (LentThread::here()) {
      parts_->retire(pipeline_.shared());
    } else {
      cleanup();
    }
  }
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  Stream submit(InferenceRequest request) {
    const auto pipeline = pipeline_.shared();
    return {model_, [&] {
              const nb::gil_scoped_release unlocked;
              return pipeline->submit(std::move(request));
            }()};
  }
  // Logits of a prompt, to `out`: [its tokens, vocabulary].
  void logits(const LogitsRequest& request, const Rows& out) {
    const auto pipeline = pipeline_.shared();
    const auto columns = static_cast<int64_t>(out.shape(1));
    if (!request.tensors || out.shape(0) != request.tensors->ids.size() ||
        columns != model_->model.vocabulary()) {
      throw Error(ErrorCode::usage, "logits: expected tensors, and an array of a row for each token");
    }
    PythonListeners listeners{nb::none(), nb::none()};
    {
      const nb::gil_scoped_release unlocked;
      const Computation computation(*model_);
      pipeline->logits(
          request,
          [&](int64_t position, std::span<const float> row) {
            std::copy(row.begin(), row.end(), out.data() + position * columns);
          },
          listeners.listeners());
    }
    listeners.raise();
  }
  nb::object plan(const InferenceRequest& request) const {
    std::string json;
    {
      const auto pipeline = pipeline_.shared();
      const nb::gil_scoped_release unlocked;
      json = to_json(pipeline->plan(request));
    }
    return parsed(json);
  }
  nb::object metrics() const {
    std::string json;
    {
      const nb::gil_scoped_release unlocked;
      json = to_json(pipeline_->get_performance_metrics());
    }
    return parsed(json);
  }
  void cleanup() {
    LentThread::refuse("pipeline: cleanup");
    const auto pipeline = pipeline_.shared();
    const nb::gil_scoped_release unlocked;
    pipeline->cleanup();
  }

 private:
  // Waits for whoever computes, who may need the interpreter's lock to let go of a picture.
  static std::shared_ptr<OptimizedInferencePipeline> made(const Model& model,
                                                          const SystemOptimizationConfig& config) {
    LentThread::refuse("pipeline");
    const nb::gil_scoped_release unlocked;
    return std::make_shared<OptimizedInferencePipeline>(model, config);
  }

  SharedModel model_;
  std::shared_ptr<LiveParts> parts_;
  HomeProcess home_;
  AtHome<OptimizedInferencePipeline> pipeline_;
};

void bind_request(nb::module_& module) {
  nb::enum_<RequestClass>(module, "RequestClass")
      .value("interactive", RequestClass::interactive)
      .value("normal", RequestClass::normal)
      .value("background", RequestClass::background);
  nb::class_<InferenceRequest>(module, "InferenceRequest")
      .def(nb::init<>())
      .def_rw("prompt", &InferenceRequest::prompt)
      .def_rw("images", &InferenceRequest::images)
      .def_rw("videos", &InferenceRequest::videos)
      .def_rw("system", &InferenceRequest::system)
      .def_rw("tensors", &InferenceRequest::tensors)
      .def_rw("generation", &InferenceRequest::generation)
      .def_rw("video_prompt", &InferenceRequest::video_prompt)
      .def_rw("request_class", &InferenceRequest::request_class)
      .def_rw("client", &InferenceRequest::client)
      .def_rw("max_image_tokens", &InferenceRequest::max_image_tokens, nb::arg("value").none())
      .def_rw("deadline_ms", &InferenceRequest::deadline_ms, nb::arg("value").none());
}

}  // namespace

void bind_pipeline(nb::module_& module, const std::shared_ptr<LiveParts>& parts) {
  bind_request(module);
  nb::class_<InferenceEvent>(module, "InferenceEvent", "Something that became known of a request.")
      .def_prop_ro("kind", [](const InferenceEvent& self) { return name_of(self.kind); })
      .def_ro("text", &InferenceEvent::text)
      .def_ro("tokens", &InferenceEvent::tokens)
      .def("__repr__", [](const InferenceEvent& self) {
        return std::string("InferenceEvent(kind='") + name_of(self.kind) +
               "', text=" + nb::cast<std::string>(nb::repr(nb::cast(self.text))) +
               ", tokens=" + std::to_string(self.tokens) + ")";
      });
  nb::class_<Stream>(module, "Stream")
      .def_prop_ro("id", &Stream::id)
      .def("next", &Stream::next)
      .def("wait", &Stream::wait_for_result, nb::arg("seconds").none())
      .def("result", &Stream::result)
      .def("done", &Stream::done)
      .def("cancel", &Stream::cancel);
  nb::class_<Pipeline>(module, "Pipeline")
      .def(
          "__init__",
          [parts](Pipeline* self, const SharedModel& model, const SystemOptimizationConfig& config) {
            new (self) Pipeline(model, config, parts);
          },
          nb::arg("model"), nb::arg("config"))
      .def("submit", &Pipeline::submit, nb::arg("request"))
      .def("logits", &Pipeline::logits, nb::arg("request"), nb::arg("out"))
      .def("plan", &Pipeline::plan, nb::arg("request"))
      .def("metrics", &Pipeline::metrics)
      .def("cleanup", &Pipeline::cleanup);
}

}  // namespace qvl::python
