# Referent under a ROS 2 Jazzy installation. CUDA is used where the container is given a GPU.
#   docker build --target run -t referent .      docker run --gpus all --net host referent
#   docker build --target test -t referent-test .      docker run referent-test
FROM ros:jazzy AS base
RUN apt-get update && apt-get install -y --no-install-recommends \
      python3-venv python3-dev libusb-1.0-0 libegl1 libgl1 libx11-6 \
      ros-jazzy-vision-msgs ros-jazzy-tf2-msgs ros-jazzy-nav2-msgs ros-jazzy-diagnostic-msgs \
      ros-jazzy-launch-ros ros-jazzy-rmw-fastrtps-cpp \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home referent && install -d -o referent /referent
USER referent
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
COPY --chown=referent ros2_ws ros2_ws
# The interfaces of the overlay are the real ones here, so it is not built. Colcon runs under the environment's
# Python, so that the nodes start with it.
RUN pip install --no-cache-dir --no-deps --no-build-isolation --editable . \
    && . /opt/ros/jazzy/setup.sh && cd ros2_ws && python "$(command -v colcon)" build --base-paths src
ENTRYPOINT ["/bin/bash", "-c", ". /opt/ros/jazzy/setup.bash && . /referent/ros2_ws/install/setup.bash && exec \"$@\"", "referent"]

FROM base AS test
# The installation's own pytest plugins are for ament, and warn under this pytest.
ENV PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTEST_PLUGINS=pytest_timeout,_hypothesis_pytestplugin
COPY --chown=referent . .
CMD ["python", "-m", "pytest"]

FROM base AS run
CMD ["ros2", "launch", "referent_ros", "referent.launch.py"]
