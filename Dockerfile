# Referent under a ROS 2 Jazzy installation. CUDA is used where the container is given a GPU (PyPI's torch brings it).
#   docker build --target run -t referent .      docker run --gpus all --net host --ipc host referent
#   docker build --target test -t referent-test .      docker run referent-test
# compose.yaml has a container per role.
FROM ros:jazzy AS base
# Versions are those of the distribution that ros:jazzy is built from; older ones are not kept by its mirrors.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends \
      python3-venv python3-dev libusb-1.0-0 libegl1 libgl1 libx11-6 alsa-utils \
      ros-jazzy-vision-msgs ros-jazzy-tf2-msgs ros-jazzy-diagnostic-msgs ros-jazzy-nav2-msgs \
      ros-jazzy-launch-ros ros-jazzy-rmw-fastrtps-cpp ros-jazzy-rosbag2-storage-mcap \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 --groups audio referent && install -d -o referent /referent
USER 10001
WORKDIR /referent
# The environment sees the installation's rclpy; only what is not ROS comes from pip.
RUN python3 -m venv --system-site-packages .venv
ENV PATH=/referent/.venv/bin:$PATH
COPY --chown=referent constraints/python.txt constraints/
RUN pip install --no-cache-dir -r constraints/python.txt \
    && SAM2_BUILD_CUDA=0 pip install --no-cache-dir --no-deps --no-build-isolation sam2==1.1.0
COPY --chown=referent pyproject.toml README.md LICENSE ./
COPY --chown=referent src src
COPY --chown=referent models models
COPY --chown=referent launch launch
COPY --chown=referent config config
COPY --chown=referent docker docker
COPY --chown=referent ros2_ws ros2_ws
# vision_msgs, tf2_msgs and nav2_msgs are the real ones here, so the overlay is not built. Colcon runs under the
# environment's Python, so that the nodes start with it.
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /referent/ros2_ws
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable .. \
    && . /opt/ros/jazzy/setup.bash && python "$(command -v colcon)" build --base-paths src
WORKDIR /referent
ENTRYPOINT ["/referent/docker/entrypoint.sh"]

FROM base AS test
# The installation's own pytest plugins are for ament, and warn under this pytest.
ENV PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTEST_PLUGINS=pytest_timeout,_hypothesis_pytestplugin
COPY --chown=referent . .
CMD ["python", "-m", "pytest"]

FROM base AS run
# Models that are fetched later, beside the bundled ones.
VOLUME /referent/models
HEALTHCHECK --interval=30s --timeout=20s --start-period=180s --retries=3 \
    CMD ["/referent/docker/entrypoint.sh", "ros2", "run", "referent_ros", "health"]
CMD ["ros2", "launch", "referent_ros", "referent.launch.py"]
