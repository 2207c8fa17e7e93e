# One image for the API, the worker and the migrations; which one runs is the command: `playbook api|worker|db upgrade`.
FROM python:3.12-slim AS packages
COPY requirements.runtime.lock /tmp/requirements.runtime.lock
RUN python -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir --require-hashes -r /tmp/requirements.runtime.lock

FROM python:3.12-slim
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY playbooks playbooks
COPY runtime runtime
COPY storage storage
COPY workflows workflows
COPY activities activities
COPY recovery recovery
COPY publication publication
COPY api api
COPY cli cli
COPY examples examples
COPY deploy/playbook /usr/local/bin/playbook
# A numeric user, so that an orchestrator can see that it is not root.
USER 10001:10001
EXPOSE 8000
CMD ["playbook", "--help"]
