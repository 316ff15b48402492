import { ProjectOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Select } from "antd";
import { useTranslation } from "react-i18next";
import { projectsQuery, useProject } from "../queries/project";

const ALL = "";

export function ProjectSwitcher() {
  const { t } = useTranslation();
  const { data } = useQuery(projectsQuery);
  const [project, setProject] = useProject();
  const options = [{ value: ALL, label: t("frame.allProjects") }, ...(data?.items ?? []).map((item) => ({ value: item.name, label: item.name }))];
  const known = !data || !project || data.items.some((item) => item.name === project);
  return (
    <Select
      variant="filled"
      prefix={<ProjectOutlined className="quiet" />}
      aria-label={t("frame.project")}
      style={{ width: 176 }}
      showSearch={options.length > 8}
      popupMatchSelectWidth={220}
      options={options}
      value={known ? (project ?? ALL) : ALL}
      onChange={(value) => setProject(value === ALL ? undefined : value)}
    />
  );
}
