// The threads of one pool: started one by one, placed and prioritised together, joined.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "threads/os_thread.h"

namespace qvl {

/// What was asked for all threads stays asked: threads that start later get it too. Knows nothing of the
/// work; the owner tells the threads to end before it joins them. Thread-compatible.
class ThreadGroup {
 public:
  /// Process monitors show the threads as "qvl-NAME1", "qvl-NAME2", ...
  ThreadGroup(std::string name, StartThread start);
  ~ThreadGroup();  ///< joins all
  ThreadGroup(const ThreadGroup&) = delete;
  ThreadGroup& operator=(const ThreadGroup&) = delete;

  int size() const { return static_cast<int>(members_.size()); }
  /// Adds a thread that runs `body` once; false where the system refuses, for which problem() has the cause.
  bool start(std::function<void()> body);
  const std::string& problem() const { return problem_; }

  /// Joins the threads from `first` (in order of their start) on; returns when they have ended.
  void join_from(int first);
  /// Joins those whose body has returned. The others move up.
  void join_ended();
  bool contains_this_thread() const;

  /// Thread i runs on places[i % size] from now on; no places: where it runs now. Returns how many threads
  /// the kernel did not place.
  int place(std::vector<CpuSet> places);
  /// Returns how many threads the kernel did not prioritise.
  int prioritise(const OsPriority& priority);
  /// Where somebody else has put one of the placed threads; nothing where all are in their places.
  std::optional<CpuSet> moved_to() const;

 private:
  struct Member {
    std::atomic<ThreadId> id{0};  // 0 until the thread runs
    std::atomic<bool> ended{false};
    CpuSet place;  // empty: never placed
    std::thread thread;
  };
  bool place(Member& member, size_t index) const;

  std::string name_;
  StartThread start_;
  std::string problem_;
  std::vector<CpuSet> places_;
  std::optional<OsPriority> priority_;
  std::vector<std::unique_ptr<Member>> members_;  // a thread refers to its member
};

}  // namespace qvl
