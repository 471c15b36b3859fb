// A callable in the queue of a pool, with the promise of its result.
#pragma once

#include <exception>
#include <future>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/function_ref.h"

namespace qvl {

enum class TaskOutcome { completed, failed };

/// Either run or cancelled, once. Thread-compatible.
class Task {
 public:
  virtual ~Task() = default;
  /// Calls the callable, releases what it holds, reports the outcome, and makes the future ready, in this
  /// order.
  virtual void run(FunctionRef<void(TaskOutcome)> report) = 0;
  /// The future holds `error`.
  virtual void cancel(std::exception_ptr error) = 0;
};

template <typename Callable>
class PromisedTask final : public Task {
 public:
  using Result = std::invoke_result_t<Callable&>;
  static_assert(!std::is_reference_v<Result>, "a task returns a value");

  template <typename Source>
  explicit PromisedTask(Source&& source) : callable_(std::forward<Source>(source)) {}
  std::future<Result> future() { return promise_.get_future(); }

  void run(FunctionRef<void(TaskOutcome)> report) override {
    std::optional<Value> value;
    std::exception_ptr error;
    try {
      value.emplace(call());
    } catch (...) {
      error = std::current_exception();
    }
    callable_.reset();
    report(error ? TaskOutcome::failed : TaskOutcome::completed);
    if (error) return promise_.set_exception(std::move(error));
    try {
      keep(std::move(*value));
    } catch (...) {  // moving the value threw
      promise_.set_exception(std::current_exception());
    }
  }

  void cancel(std::exception_ptr error) override {
    callable_.reset();
    promise_.set_exception(std::move(error));
  }

 private:
  using Value = std::conditional_t<std::is_void_v<Result>, std::monostate, Result>;

  Value call() {
    if constexpr (std::is_void_v<Result>) {
      (*callable_)();
      return {};
    } else {
      return (*callable_)();
    }
  }
  void keep([[maybe_unused]] Value&& value) {
    if constexpr (std::is_void_v<Result>) {
      promise_.set_value();
    } else {
      promise_.set_value(std::move(value));
    }
  }

  std::optional<Callable> callable_;
  std::promise<Result> promise_;
};

}  // namespace qvl
