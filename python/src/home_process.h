// The process an object was made in: its threads are not there in a forked child, where it is left alone.
#pragma once

#include <unistd.h>

#include <memory>
#include <string>

#include "qvl/error.h"

namespace qvl::python {

/// Immutable, thread-safe.
class HomeProcess {
 public:
  bool here() const { return ::getpid() == pid_; }

 private:
  pid_t pid_ = ::getpid();
};

/// Shares an object that has threads. In a forked child it throws on use, and is leaked at the end: joining
/// threads that are not there waits for ever.
template <typename Object>
class AtHome {
 public:
  /// `name` for messages: "ThreadManager".
  AtHome(std::string name, std::shared_ptr<Object> object)
      : name_(std::move(name)), object_(std::move(object)) {}
  AtHome(AtHome&&) noexcept = default;
  AtHome(const AtHome&) = default;
  ~AtHome() {
    if (object_ && !home_.here())
      (void)std::make_unique<std::shared_ptr<Object>>(std::move(object_)).release();
  }

  Object* operator->() const { return &get(); }
  Object& operator*() const { return get(); }
  const std::shared_ptr<Object>& shared() const {
    (void)get();
    return object_;
  }

 private:
  Object& get() const {
    if (!home_.here()) {
      throw Error(ErrorCode::environment,
                  name_ + ": made before this process was forked, make a new one here");
    }
    return *object_;
  }

  std::string name_;
  HomeProcess home_;
  std::shared_ptr<Object> object_;
};

}  // namespace qvl::python
