import { ProjectOutlined } from "@ant-design/icons";
import { useTranslation } from "react-i18next";
import { SearchSelect } from "../parts/SearchSelect";
import { projectChoices, useProject } from "../queries/project";

const ALL = "*";

export function ProjectSwitcher() {
  const { t } = useTranslation();
  const [project, setProject] = useProject();
  return (
    <SearchSelect
      kind="project"
      label={t("frame.project")}
      variant="filled"
      prefix={<ProjectOutlined className="quiet" />}
      style={{ width: 176 }}
      first={[{ value: ALL, label: t("frame.allProjects") }]}
      load={projectChoices}
      value={project ?? ALL}
      onChange={(value) => setProject(value === ALL ? undefined : value)}
    />
  );
}
